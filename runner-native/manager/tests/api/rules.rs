//! Who may use the API, over the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_tunnel_manager::api::{ApiError, ApiHooks, ApiServer, MAX_CONNECTIONS};
use hvym_tunnel_manager::feed::MAX_LISTENERS;
use hvym_tunnel_manager::settings::{ApiSettings, ApiTlsFiles};
use hvym_tunnel_net::files::{FileAccess, replace};
use hvym_tunnel_net::host_connect;
use hvym_tunnel_net::tls::{Trust, client};

use crate::world::{PATIENCE, World, settings};

const READ: [&str; 5] = ["/api/health", "/api/status", "/api/connections", "/api/metrics", "/api/version"];

#[test]
fn a_foreign_host_name_and_a_foreign_page_can_neither_read_nor_change_anything() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    managed.wait("the link", |status| status["links"][0]["state"] == "connected");
    let bearer = format!("Bearer {}", managed.token);
    for path in READ.into_iter().chain(["/metrics", "/ws", "/api/openapi.json", "/nowhere"]) {
        for field in [("Host", "evil.example:8765"), ("Origin", "https://evil.example"), ("Origin", "null")] {
            let answer = managed.request("GET", path, &[field, ("Authorization", &bearer)], "");
            assert_eq!(answer.status, 403, "{path} {field:?}: {answer:?}");
            assert_eq!(answer.field("access-control-allow-origin"), None);
        }
    }
    for field in [("Host", "evil.example"), ("Origin", "https://evil.example")] {
        for method in ["POST", "OPTIONS"] {
            let fields = [field, ("Authorization", &bearer), ("Access-Control-Request-Method", "POST")];
            assert_eq!(managed.request(method, "/api/tunnel/stop", &fields, "").status, 403);
        }
    }
    let status = managed.manager.status();
    assert!(status.tunnel_manager.running, "nothing was stopped");
    world.end(managed);
}

#[test]
fn without_the_token_the_five_routes_are_read_and_nothing_is_changed() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    for path in READ {
        assert_eq!(managed.request("GET", path, &[], "").status, 200, "{path}");
    }
    for (method, path) in [
        ("POST", "/api/v1/services"),
        ("DELETE", "/api/v1/services/web"),
        ("DELETE", "/api/v1/alerts"),
        ("POST", "/api/v1/alerts/1/ack"),
        ("PUT", "/api/v1/thresholds"),
        ("POST", "/api/v1/checks"),
        ("POST", "/api/v1/reload"),
        ("POST", "/api/v1/drain"),
        ("GET", "/api/v1/settings"),
        ("PUT", "/api/v1/settings"),
        ("GET", "/api/v1/requests"),
        ("GET", "/api/v1/events"),
        ("GET", "/metrics"),
        ("GET", "/ws"),
    ] {
        let answer = managed.request(method, path, &[], "");
        assert_eq!(
            (answer.status, answer.field("www-authenticate")),
            (401, Some("Bearer")),
            "{method} {path}"
        );
        let wrong = managed.request(method, path, &[("Authorization", "Bearer wrong")], "");
        assert_eq!(wrong.status, 401, "{method} {path}");
    }
    // A page of this machine is no program of its user.
    for page in [("Origin", "http://localhost:3000"), ("Sec-Fetch-Site", "same-origin")] {
        assert_eq!(managed.request("POST", "/api/tunnel/stop", &[page], "").status, 401);
    }
    assert_eq!(managed.manager.status().links.len(), 1);
    assert!(managed.manager.status().tunnel_manager.running);
    world.end(managed);
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_of_the_same_user_may_restart_unless_the_settings_are_strict() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    assert_eq!(managed.request("POST", "/api/tunnel/restart", &[], "").status, 200);
    assert_eq!(
        managed.request("POST", "/api/tunnel/restart", &[("Authorization", "Bearer x")], "").status,
        401
    );
    let strict = world.manage_with(settings(vec![world.link("home", Vec::new())]), |api| {
        (api.local_read, api.local_control, api.socket) = (false, false, None);
    });
    assert_eq!(strict.request("POST", "/api/tunnel/restart", &[], "").status, 401);
    assert_eq!(strict.request("GET", "/api/health", &[], "").status, 401);
    assert_eq!(strict.call("GET", "/api/health", "").status, 200);
    drop(strict);
    world.end(managed);
}

#[test]
fn a_listed_page_may_use_the_api_and_reads_its_answers() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let page = ("Origin", "http://localhost:3000");
    let preflight = managed.request(
        "OPTIONS",
        "/api/v1/services",
        &[page, ("Access-Control-Request-Method", "POST")],
        "",
    );
    assert_eq!((preflight.status, preflight.body.as_str()), (204, ""));
    assert_eq!(preflight.field("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(preflight.field("access-control-allow-credentials"), None);
    assert!(
        preflight
            .field("access-control-allow-headers")
            .is_some_and(|fields| fields.contains("authorization"))
    );
    let read = managed.request("GET", "/api/status", &[page], "");
    assert_eq!(
        (read.status, read.field("access-control-allow-origin")),
        (200, Some("http://localhost:3000"))
    );
    assert_eq!(read.field("vary"), Some("Origin"));
    assert_eq!(managed.request("GET", "/api/status", &[], "").field("access-control-allow-origin"), None);
    world.end(managed);
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    for (method, path, allowed) in [
        ("GET", "/api/tunnel/stop", "POST"),
        ("POST", "/api/status", "GET, HEAD"),
        ("PUT", "/api/v1/services", "GET, HEAD, POST"),
    ] {
        let answer = managed.call(method, path, "");
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allowed)), "{method} {path}");
    }
    assert!(managed.manager.status().tunnel_manager.running);
    let nowhere = managed.call("GET", "/api/nowhere", "");
    assert_eq!((nowhere.status, &nowhere.json()["error"]), (404, &"Endpoint not found".into()));
    world.end(managed);
}

#[test]
fn contents_are_understood_up_to_their_limit() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let padded = |length: usize| format!("{}{{}}", " ".repeat(length - 2));
    for (content, status) in [
        (padded(64 * 1024 - 1), 200),
        (padded(64 * 1024), 200),
        (padded(64 * 1024 + 1), 413),
        ("{".to_owned(), 400),
        (r#"{"nome":"x"}"#.to_owned(), 400),
        ("[]".to_owned(), 400),
    ] {
        let length = content.len();
        assert_eq!(managed.call("POST", "/api/tunnel/start", &content).status, status, "{length}");
    }
    for wrong in [
        r#"{"name":"web"}"#,
        r#"{"name":"A","target":"3000"}"#,
        r#"{"name":"a","target":"ftp://x"}"#,
        "{}",
        "",
    ] {
        assert_eq!(managed.call("POST", "/api/v1/services", wrong).status, 400, "{wrong}");
    }
    world.end(managed);
}

/// A connection on which one request was answered.
fn answered(at: SocketAddr) -> Option<TcpStream> {
    let mut tcp = TcpStream::connect(at).expect("it listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    ask(&mut tcp, at).then_some(tcp)
}

/// Asks for the version, and reads the first bytes of the answer.
fn ask(tcp: &mut TcpStream, at: SocketAddr) -> bool {
    let request = format!("GET /api/version HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let sent = tcp.write_all(request.as_bytes());
    sent.is_ok() && tcp.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
}

#[test]
fn connections_on_which_nothing_is_asked_keep_nobody_out() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let begun = || {
        let mut tcp = TcpStream::connect(managed.at).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        tcp.write_all(b"GET /api/version HTTP/1.1\r\nX: ").expect("the head goes on");
        tcp
    };
    // As many as the limit, the last one with an answer: all are there still.
    let mut held: Vec<_> = (1..MAX_CONNECTIONS).map(|_| begun()).collect();
    let mut kept = answered(managed.at).expect("there is room");
    for tcp in &held {
        tcp.set_nonblocking(true).expect("a mode");
        assert_eq!(tcp.peek(&mut [0]).expect_err("it is open").kind(), ErrorKind::WouldBlock);
        tcp.set_nonblocking(false).expect("a mode");
    }
    // One more takes the place of the one that waits longest, and of that alone.
    let _newcomer = answered(managed.at).expect("the place of another one");
    assert!(matches!(held[0].read(&mut [0]), Ok(0) | Err(_)), "it was closed");
    assert!(ask(&mut kept, managed.at), "one that asks again and again is kept");
    for _ in 0..MAX_CONNECTIONS {
        held.push(begun());
    }
    assert!(answered(managed.at).is_some(), "however many come in between");
    world.end(managed);
}

#[test]
fn there_are_as_many_listeners_as_the_limit_and_what_they_hear_is_not_cut_off() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let events = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        managed.at, managed.token
    );
    let mut stream = TcpStream::connect(managed.at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(events.as_bytes()).expect("sent");
    let head = read_until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let _others: Vec<_> =
        (0..2 * MAX_CONNECTIONS).map(|_| answered(managed.at).expect("an answer")).collect();
    managed.call("POST", "/api/tunnel/stop", "");
    read_until(&mut stream, "\"type\":\"state\"");
    drop(stream);

    let mut listeners = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    // The place of the stream above is free when its end was noticed.
    while listeners.len() < MAX_LISTENERS {
        listeners.extend(managed.manager.subscribe());
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(managed.call("GET", "/api/v1/events", "").status, 503);
    drop(listeners);
    world.end(managed);
}

/// What comes until `end` has come.
fn read_until(tcp: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut piece = [0; 4096];
        let count = tcp.read(&mut piece).expect("more comes");
        assert_ne!(count, 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    text
}

#[test]
fn the_api_never_listens_for_other_machines_in_plain_text_and_never_beside_another() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let start = |settings: &ApiSettings| {
        ApiServer::start(settings, managed.manager.clone(), ApiHooks::default(), world.runtime.handle())
            .map(drop)
    };
    let mut settings = ApiSettings::new(0, world.socket().with_file_name("api.token"));
    settings.listen = vec!["0.0.0.0:0".parse().expect("an address")];
    assert!(matches!(start(&settings), Err(ApiError::NotLoopback(_))));
    settings.listen = vec![managed.at];
    assert!(matches!(start(&settings), Err(ApiError::Listen { is_taken: true, .. })));
    settings.listen.clear();
    settings.socket = Some(world.socket());
    assert!(matches!(start(&settings), Err(ApiError::Listen { is_taken: true, .. })));
    world.end(managed);
}

/// A certificate for `localhost` and its key, which nobody else may read.
fn certificate(folder: &Path) -> ApiTlsFiles {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = ApiTlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(&files.certificate, made.cert.pem()).expect("a file");
    replace(&files.key, made.key_pair.serialize_pem().as_bytes(), FileAccess::Private).expect("a file");
    files
}

#[test]
fn other_machines_come_by_tls_and_need_the_token_for_everything() {
    let world = World::new();
    let files = certificate(world.socket().parent().expect("a folder"));
    let managed = world.manage_with(settings(vec![world.link("home", Vec::new())]), |api| {
        // Whoever comes there may come from anywhere.
        api.listen = vec!["0.0.0.0:0".parse().expect("an address")];
        api.tls = Some(files.clone());
    });
    let ask = |fields: &str| -> String {
        let trust = Trust::with_authorities(&files.certificate).expect("a certificate");
        let head =
            format!("GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        world.runtime.block_on(async {
            let (tcp, _) =
                host_connect::connect("127.0.0.1", managed.at.port(), None).await.expect("it listens");
            let mut tls = client(tcp, "localhost", trust).await.expect("it is the certificate's");
            tls.write_all(head.as_bytes()).await.expect("it reads");
            let mut answer = Vec::new();
            let _ended = tls.read_to_end(&mut answer).await;
            String::from_utf8(answer).expect("text")
        })
    };
    assert!(ask("").starts_with("HTTP/1.1 401 "), "what is read here without a token is not for others");
    assert!(ask(&format!("Authorization: Bearer {}\r\n", managed.token)).starts_with("HTTP/1.1 200 "));
    let mut plain = TcpStream::connect(("127.0.0.1", managed.at.port())).expect("it listens");
    plain.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    plain.write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    let _ended = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&files.key, open).expect("its owner may");
        let mut api = ApiSettings::new(0, world.socket().with_file_name("api.token"));
        api.tls = Some(files.clone());
        let started =
            ApiServer::start(&api, managed.manager.clone(), ApiHooks::default(), world.runtime.handle());
        assert!(matches!(started.map(drop), Err(ApiError::Tls(why)) if why.contains("others can read it")));
    }
    world.end(managed);
}

#[test]
fn the_api_listens_anew_at_its_place_while_what_was_accepted_goes_on() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let mut open = TcpStream::connect(managed.at).expect("it listens");
    open.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut ask = || {
        write!(open, "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut answer = vec![0; 4096];
        let count = open.read(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    assert!(ask().starts_with("HTTP/1.1 200 "));
    world.runtime.block_on(managed.stop_listening());
    assert!(TcpStream::connect(managed.at).is_err() && !world.socket().exists(), "both places are free");
    let mut api = ApiSettings::new(managed.at.port(), world.socket().with_file_name("api.token"));
    api.listen.truncate(1);
    api.socket = Some(world.socket());
    let second = ApiServer::start(&api, managed.manager.clone(), ApiHooks::default(), world.runtime.handle());
    let second = second.expect("the same places");
    assert_eq!(second.addresses(), [managed.at]);
    assert!(ask().starts_with("HTTP/1.1 200 "), "by the one before");
    assert_eq!(managed.call("GET", "/api/health", "").status, 200);
    drop(second);
    world.end(managed);
}
