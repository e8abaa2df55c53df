//! A service that is asked by a local name while visitors use a public one, and what callers may say about themselves.
#![cfg(unix)]

use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, ok};
use hvym_tunnel_tests::installed::{packaged_python, peer};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};

/// A service that names itself by its `Host` wherever it can, and lets nobody in who comes from elsewhere.
fn strict() -> Origin {
    Origin::answering(|head: &Head, _| {
        let host = head.field("host").unwrap_or_default();
        let own = format!("http://{host}");
        let is_own = |name: &str| head.field(name).is_none_or(|url| url.starts_with(&own));
        if !["origin", "referer", "destination"].into_iter().all(is_own) {
            return answer("403 Forbidden", &[], b"from elsewhere");
        }
        let name = host.split(':').next().unwrap_or_default();
        let fields = [
            ("Location", format!("{own}/next?to={own}/")),
            ("Content-Location", format!("{own}/here")),
            ("Refresh", format!("5; url={own}/soon")),
            ("Access-Control-Allow-Origin", own.clone()),
            ("Set-Cookie", format!("sid=1; Path=/; Domain={name}; HttpOnly")),
            ("Set-Cookie", "other=2; Domain=elsewhere.example".to_owned()),
            ("Link", "<https://cdn.example/a.css>; rel=preload".to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        answer("201 Created", &fields, host.as_bytes())
    })
}

#[test]
fn every_field_that_names_the_host_is_mapped_for_the_service_and_back_for_the_visitor() {
    let local = format!("localhost:{}", strict_port());
    let tunnel = Alone::exposing(&local, &["--host-header", &local]);
    let public = format!("http://{}", tunnel.host());
    let lines = [
        format!("Origin: {public}"),
        format!("Referer: {public}/a?b=c"),
        format!("Destination: {public}/moved"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (head, body) = tunnel.ask("MOVE", "/a", &lines, &[]).expect("an answer");
    assert_eq!((head.status(), body.as_slice()), (201, local.as_bytes()));
    assert_eq!(head.field("location"), Some(&*format!("{public}/next?to=http://{local}/")));
    assert_eq!(head.field("content-location"), Some(&*format!("{public}/here")));
    assert_eq!(head.field("refresh"), Some(&*format!("5; url={public}/soon")));
    assert_eq!(head.field("access-control-allow-origin"), Some(&*public));
    let name = tunnel.host().split(':').next().expect("a name");
    let cookies =
        [format!("sid=1; Path=/; Domain={name}; HttpOnly"), "other=2; Domain=elsewhere.example".to_owned()];
    assert_eq!(head.all("set-cookie"), cookies);
    assert_eq!(head.field("link"), Some("<https://cdn.example/a.css>; rel=preload"));
    // Others are passed as they are, and the service decides.
    let (head, _) = tunnel.ask("GET", "/", &["Origin: http://elsewhere.example"], &[]).expect("an answer");
    assert_eq!(head.status(), 403);
}

#[test]
fn a_file_is_moved_at_a_webdav_server_whichever_host_it_is_told() {
    let Some(python) = packaged_python() else { return };
    let home = Home::new();
    let folder = home.path("files");
    std::fs::create_dir_all(&folder).expect("a folder takes a folder");
    let mut server = peer(&python, &["dav.py", folder.to_str().expect("text")]);
    let local = format!("localhost:{}", server.line());
    for (moved, arguments) in [("public", &[][..]), ("local", &["--host-header", &local])] {
        let tunnel = Alone::exposing(&local, arguments);
        assert_eq!(tunnel.ask("PUT", "/file", &[], b"text").expect("an answer").0.status(), 201);
        let destination = format!("Destination: http://{}/{moved}", tunnel.host());
        let (head, body) = tunnel.ask("MOVE", "/file", &[&destination], &[]).expect("an answer");
        assert_eq!(head.status(), 201, "{moved}: {}", String::from_utf8_lossy(&body));
        assert!(!folder.join("file").exists(), "{moved}");
        assert_eq!(std::fs::read(folder.join(moved)).expect("it is there"), b"text");
    }
}

fn strict_port() -> u16 {
    strict().port
}

#[test]
fn a_caller_cannot_say_who_it_is_and_its_heads_are_checked() {
    let service = Origin::answering(|head: &Head, _| {
        let told: Vec<String> =
            head.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        ok(told.concat().as_bytes())
    });
    let relay = Relay::start(&[]);
    let owner = Agent::start(&relay, service.port, &["--service", "web"]);
    let address = owner.ready["address"].as_str().expect("an address").to_owned();
    let home = Home::new();
    let mut forward = home.start(&["forward", &format!("{address}/web"), "--json", "--relay", &relay.url()]);
    let listen = forward.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let ask = |method: &str, lines: &[&str], body: &str| {
        let mut caller = Conversation::dial(port);
        caller.send(request("web", method, "/", lines)).expect("the forward reads");
        caller.send(body).expect("the forward reads");
        let head = caller.head().expect("an answer");
        let body = caller.body(&head).expect("a whole answer");
        (head.status(), String::from_utf8(body).expect("text").to_ascii_lowercase())
    };
    let claims = [
        "X-Forwarded-For: 127.0.0.1",
        "x_forwarded_for: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "Forwarded: for=127.0.0.1",
        "X-Stellar-Address: GEVIL",
        "X-Real-IP: 127.0.0.1",
        "X-Custom-Domain: evil.example",
        "X-Thing: stays",
    ];
    let (status, told) = ask("GET", &claims, "");
    assert_eq!(status, 200);
    assert!(told.contains("x-thing: stays") && told.contains("host: web"), "{told}");
    for claim in ["forwarded", "stellar", "real-ip", "custom-domain", "127.0.0.1"] {
        assert!(!told.contains(claim), "{claim}: {told}");
    }
    let both = ["Content-Length: 3", "Transfer-Encoding: chunked"];
    assert_eq!(ask("POST", &both, "0\r\n\r\n").0, 400);
    assert_eq!(ask("GET", &["Host: other"], "").0, 400);
}
