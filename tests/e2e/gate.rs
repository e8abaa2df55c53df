//! What an agent asks of visitors and changes in requests, and that everything else passes it as if it were not there.
#![cfg(unix)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use data_encoding::BASE64;
use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program, python};
use hvym_tunnel_tests::tunnel::request;
use rustix::process::Signal;
use serde_json::Value;

const ACCOUNT: &str = "ann:open sesame";

fn login(account: &str) -> String {
    format!("Authorization: Basic {}", BASE64.encode(account.as_bytes()))
}

/// The service of `peers/origin.py`, behind a gate.
fn gated(arguments: &[&str]) -> (Program, Alone) {
    let mut service = python(&["origin.py"]);
    let tunnel = Alone::exposing(&service.line(), arguments);
    (service, tunnel)
}

/// What the service saw of the request that it mirrors: the values of the field `name`.
fn seen(mirrored: &[u8], name: &str) -> Vec<String> {
    let mirrored: Value = serde_json::from_slice(mirrored).expect("JSON");
    let fields = mirrored["fields"].as_array().expect("fields").clone();
    let named =
        fields.into_iter().filter(|field| field[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)));
    named.map(|field| field[1].as_str().expect("text").to_owned()).collect()
}

#[test]
fn only_who_knows_the_password_reaches_the_service_which_never_learns_it() {
    let (_service, mut tunnel) = gated(&["--basic-auth", "bob:x", "--basic-auth", ACCOUNT]);
    for given in [None, Some("ann:wrong"), Some("ann:open sesam"), Some("ann"), Some("bob:open sesame")] {
        let lines = given.map(login);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (head, page) = tunnel.ask("GET", "/mirror", &lines, &[]).expect("an answer");
        assert_eq!(head.status(), 401, "{given:?}");
        assert_eq!(head.field("www-authenticate"), Some("Basic realm=\"hvym-tunnel\", charset=\"UTF-8\""));
        assert!(String::from_utf8_lossy(&page).contains("A name and a password"), "{given:?}");
        let told = tunnel.agent.event("request");
        let note = if given.is_some() { "wrong name or password" } else { "no name and password" };
        assert_eq!((&told["status"], &told["note"]), (&401.into(), &note.into()));
    }
    let (head, mirrored) = tunnel.ask("GET", "/mirror", &[&login(ACCOUNT)], &[]).expect("an answer");
    assert_eq!(head.status(), 200);
    assert_eq!(seen(&mirrored, "authorization"), Vec::<String>::new());
    assert_eq!(seen(&mirrored, "host"), [tunnel.host()]);
    let told = tunnel.agent.event("request");
    assert_eq!((&told["status"], told.get("note")), (&200.into(), None));
    assert!(!tunnel.agent.transcript().contains("sesame"), "{tunnel:?}");
}

#[test]
fn a_password_may_stand_in_a_file_or_a_variable() {
    let home = Home::new();
    let file = home.path("accounts");
    fs::write(&file, format!("# who may come\n\nbob:x\n{ACCOUNT}\n")).expect("a folder takes a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let file = file.to_str().expect("text").to_owned();
    for (name, value) in
        [("HVYM_TUNNEL_BASIC_AUTH_FILE", file.as_str()), ("HVYM_TUNNEL_BASIC_AUTH", "bob:x\nann:open sesame")]
    {
        let port = Origin::saying(b"inside").port.to_string();
        let tunnel = Alone::exposing_in(Home::new(), &port, &["-vvv"], |command| {
            command.env(name, value);
        });
        assert_eq!(tunnel.get("/").expect("an answer").0.status(), 401, "{name}");
        let (_, body) = tunnel.ask("GET", "/", &[&login(ACCOUNT)], &[]).expect("an answer");
        assert_eq!(body, b"inside", "{name}");
        assert!(!tunnel.agent.transcript().contains("sesame"), "{tunnel:?}");
    }
}

#[test]
fn a_file_of_htpasswd_asks_for_the_password_and_not_for_its_hash() {
    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    let home = Home::new();
    let file = write_private(&home, "accounts", &format!("ann:{HASH}\nbob:plain\n"));
    let (_service, tunnel) = gated(&["--basic-auth-file", &file]);
    let ask =
        |account: &str| tunnel.ask("POST", "/", &[&login(account)], b"body").expect("an answer").0.status();
    let [right, wrong, hash, plain] =
        ["ann:secret", "ann:Secret", &format!("ann:{HASH}"), "bob:plain"].map(ask);
    assert_eq!([wrong, hash], [401, 401]);
    assert_eq!(right, 404, "the service answers");
    assert_eq!(plain, right);
}

#[test]
fn a_gate_that_cannot_be_kept_is_refused_without_a_word_of_the_secret() {
    let home = Home::new();
    let none = write_private(&home, "none", "# nobody\n");
    fs::write(home.path("open"), "ann:opensesame\n").expect("a folder takes a file");
    fs::set_permissions(home.path("open"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let open = home.path("open").display().to_string();
    for (arguments, words) in [
        (&["3000", "--basic-auth", "opensesame"][..], "has no colon"),
        (&["3000", "--basic-auth", "opensesame:"], "has no password"),
        (&["3000", "--basic-auth", ":opensesame"], "has no user"),
        (&["3000", "--basic-auth", "ann:$apr1$opensesame"], "a hash of an old kind"),
        (&["3000", "--basic-auth", "ann:$2y$10$opensesame"], "a damaged hash"),
        (&["3000", "--basic-auth-file", &none], "there is no account"),
        (&["3000", "--basic-auth-file", &open], "can be read by others (mode 0644)"),
        (&["3000", "--basic-auth-file", "missing"], "cannot read the accounts"),
        (&["tcp://db:5432", "--basic-auth", "ann:opensesame"], "tcp://db:5432 is not that"),
        (&["3000", "--bind", "g=h2c://app:1", "--allow-cidr", "::/0"], "h2c://app:1 is not that"),
    ] {
        let mut agent = home.start(&[&["expose"], arguments].concat());
        agent.says(words);
        assert_eq!(agent.code(), 3, "{agent:?}");
        assert!(!agent.transcript().contains("opensesame"), "{agent:?}");
    }
}

#[test]
fn visitors_come_from_the_networks_that_are_let_in() {
    let (_service, mut tunnel) = gated(&["--allow-cidr", "10.0.0.0/8", "--allow-cidr", "127.0.0.1"]);
    assert_eq!(tunnel.get("/mirror").expect("an answer").0.status(), 200);
    assert_eq!(tunnel.agent.event("request")["status"], 200);

    let (_service, mut tunnel) = gated(&["--allow-cidr", "10.0.0.0/8,2001:db8::/32"]);
    for lines in [&[][..], &["X-Forwarded-For: 10.0.0.1"], &["Forwarded: for=10.0.0.1"]] {
        let (head, page) = tunnel.ask("GET", "/mirror", lines, &[]).expect("an answer");
        assert_eq!(head.status(), 403, "{lines:?}");
        assert!(String::from_utf8_lossy(&page).contains("127.0.0.1"), "{lines:?}");
        let told = tunnel.agent.event("request");
        assert_eq!(told["note"], "127.0.0.1 is not in --allow-cidr", "{told}");
    }
}

#[test]
fn a_preflight_is_answered_for_a_service_that_would_refuse_it() {
    let arguments = ["--cors-preflight", "--basic-auth", ACCOUNT];
    let (_service, mut tunnel) = gated(&arguments);
    let asked = [
        "Origin: http://localhost:5173",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: authorization, x-thing",
    ];
    let (head, _) = tunnel.ask("OPTIONS", "/mirror", &asked, &[]).expect("an answer");
    assert_eq!(head.status(), 204);
    assert_eq!(head.field("access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!(head.field("access-control-allow-methods"), Some("PUT"));
    assert_eq!(head.field("access-control-allow-headers"), Some("authorization, x-thing"));
    assert_eq!(tunnel.agent.event("request")["status"], 204);
    // No preflight, and not the service's answer either.
    assert_eq!(tunnel.ask("OPTIONS", "/mirror", &asked[..1], &[]).expect("an answer").0.status(), 401);
    let lines = [asked[0], &login(ACCOUNT)];
    let (head, _) = tunnel.ask("GET", "/mirror", &lines, &[]).expect("an answer");
    assert_eq!((head.status(), head.all("access-control-allow-origin").len()), (200, 0));
}

#[test]
fn bodies_pass_the_gate_byte_for_byte() {
    let (_service, tunnel) = gated(&["--basic-auth", ACCOUNT]);
    let body = pattern(3, 5 * 1024 * 1024);
    let (head, echoed) = tunnel.ask("POST", "/echo", &[&login(ACCOUNT)], &body).expect("an answer");
    assert_eq!(head.status(), 200);
    assert!(echoed == body, "{} bytes came back", echoed.len());
    // Refused, while most of the body is still to be sent.
    let (head, _) = tunnel.ask("POST", "/echo", &[], &body).expect("an answer");
    assert_eq!(head.status(), 401);
    let (head, body) = tunnel.ask("HEAD", "/mirror", &[], &[]).expect("a head");
    assert_eq!((head.status(), body.len()), (401, 0));
}

#[test]
fn a_compressed_answer_and_two_cookies_pass_the_gate_as_they_are() {
    let (_service, tunnel) = gated(&["--host-header", "app.internal"]);
    let (head, body) = tunnel.get("/gzip").expect("an answer");
    assert_eq!((head.field("content-encoding"), head.field("etag")), (Some("gzip"), Some("\"g\"")));
    assert_eq!(body[..2], [0x1f, 0x8b]);
    let (head, _) = tunnel.get("/cookies").expect("an answer");
    assert_eq!(head.all("set-cookie"), ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT"]);
    let (_, mirrored) = tunnel.ask("POST", "/mirror?a=%20b", &["X-Thing: 1"], b"body").expect("an answer");
    assert_eq!(seen(&mirrored, "host"), ["app.internal"]);
    assert_eq!(seen(&mirrored, "x-forwarded-host"), [tunnel.host()]);
    assert_eq!(
        (seen(&mirrored, "x-thing"), seen(&mirrored, "content-length")),
        (vec!["1".into()], vec!["4".into()])
    );
    let target: Value = serde_json::from_slice(&mirrored).expect("JSON");
    assert_eq!(target["target"], "/mirror?a=%20b");
}

#[test]
fn chunks_and_trailers_pass_the_gate_without_being_gathered() {
    let (arrived, arrivals) = channel();
    let origin = Origin::start(move |mut visitor| {
        let head = visitor.head()?;
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        visitor.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")?;
        loop {
            let chunk = visitor.chunk()?;
            arrived.send(chunk.clone()).expect("the test waits");
            visitor.send(format!("{:x}\r\n", chunk.len()))?;
            if chunk.is_empty() {
                return visitor.send("X-End: 1\r\n\r\n");
            }
            visitor.send([&chunk, &b"\r\n"[..]].concat())?;
        }
    });
    let tunnel = Alone::exposing(&origin.port.to_string(), &["--allow-cidr", "127.0.0.0/8"]);
    let mut visitor = tunnel.visit();
    let lines = ["Transfer-Encoding: chunked", "TE: trailers", "Connection: TE"];
    visitor.send(request(tunnel.host(), "POST", "/", &lines)).expect("the relay reads");
    visitor.send("3\r\none\r\n").expect("the relay reads");
    let head = visitor.head().expect("an answer before the question is over");
    assert_eq!(head.status(), 200);
    assert_eq!(visitor.chunk().expect("a chunk"), b"one");
    visitor.send("3\r\ntwo\r\n0\r\n\r\n").expect("the relay reads");
    let (rest, trailers) = visitor.chunks().expect("the rest");
    let [(name, value)] = trailers.as_slice() else { panic!("{trailers:?}") };
    assert!(name.eq_ignore_ascii_case("x-end") && value == "1", "{trailers:?}");
    assert_eq!(rest, b"two");
    assert_eq!(arrivals.iter().take(3).collect::<Vec<_>>(), [&b"one"[..], b"two", b""]);
}

#[test]
fn websockets_pass_the_gate() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let service = std::thread::spawn(move || {
        // Who only tries whether somebody is there says nothing.
        let mut sockets = listener.incoming().flatten().filter_map(|stream| tungstenite::accept(stream).ok());
        let mut socket = sockets.next().expect("a visitor");
        // Sent with the 101, before anything was asked.
        socket.send(tungstenite::Message::text("welcome")).expect("the agent reads");
        while let Ok(message) = socket.read() {
            if message.is_close() {
                break;
            }
            socket.send(message).expect("the agent reads");
        }
    });
    let mut tunnel = Alone::exposing(&port.to_string(), &["--host-header", "localhost"]);
    let stream = TcpStream::connect(tunnel.host().replace(host_name(&tunnel), "127.0.0.1")).expect("a relay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
    let url = format!("ws://{}/socket", tunnel.host());
    let (mut socket, _) = tungstenite::client(url, stream).expect("an upgrade");
    assert_eq!(socket.read().expect("a message"), tungstenite::Message::text("welcome"));
    for message in ["", "héllo ☃"].map(tungstenite::Message::text) {
        socket.send(message.clone()).expect("the relay reads");
        assert_eq!(socket.read().expect("an echo"), message);
    }
    let large = tungstenite::Message::binary(pattern(4, 1024 * 1024));
    socket.send(large.clone()).expect("the relay reads");
    assert!(socket.read().expect("an echo") == large);
    socket.close(None).expect("a close");
    while socket.read().is_ok() {}
    service.join().expect("no panic");
    assert_eq!(tunnel.agent.event("request")["status"], 101);
}

fn host_name(tunnel: &Alone) -> &str {
    tunnel.host().rsplit_once(':').expect("a port").0
}

#[test]
fn events_pass_the_gate_as_they_come() {
    let (_service, tunnel) = gated(&["--basic-auth", ACCOUNT]);
    let mut listener = tunnel.visit();
    let login = login(ACCOUNT);
    listener.send(request(tunnel.host(), "GET", "/events", &[&login])).expect("the relay reads");
    assert_eq!(listener.head().expect("a head").status(), 200);
    for event in ["one", "two"] {
        tunnel.ask("POST", "/publish", &[&login], event.as_bytes()).expect("an answer");
        assert_eq!(listener.chunk().expect("an event"), format!("data: {event}\n\n").as_bytes());
    }
}

#[test]
fn a_visitor_who_leaves_is_missed_by_the_service() {
    let (left, leaving) = channel();
    let left = Mutex::new(left);
    let origin = Origin::start(move |mut visitor: Conversation| {
        visitor.head()?;
        left.lock().expect("no panic").send("came").expect("the test waits");
        let rest = visitor.rest();
        left.lock().expect("no panic").send("left").expect("the test waits");
        rest.map(drop)
    });
    let tunnel = Alone::exposing(&origin.port.to_string(), &["--host-header", "localhost"]);
    let mut visitor = tunnel.visit();
    visitor.send(request(tunnel.host(), "GET", "/", &[])).expect("the relay reads");
    assert_eq!(leaving.recv_timeout(PATIENCE), Ok("came"));
    drop(visitor);
    assert_eq!(leaving.recv_timeout(PATIENCE), Ok("left"));
}

#[test]
fn a_visitor_who_ends_its_half_after_its_request_is_answered() {
    for arguments in [&[][..], &["--host-header", "localhost"]] {
        let (service, body) = (Origin::answering(|_, body| ok(&body)), b"said before the end");
        let tunnel = Alone::exposing(&service.port.to_string(), arguments);
        let mut visitor = tunnel.visit();
        let length = format!("Content-Length: {}", body.len());
        visitor.send(request(tunnel.host(), "POST", "/", &[&length])).expect("the relay reads");
        visitor.send(body).expect("the relay reads");
        visitor.finish().expect("a fresh connection");
        let head = visitor.head().expect("an answer");
        assert_eq!((head.status(), visitor.body(&head).expect("all of it").as_slice()), (200, &body[..]));
    }
}

#[test]
fn a_service_that_fails_behind_the_gate_is_explained() {
    let gate = ["--host-header", "localhost"];
    let place = nobody().to_string();
    let (head, page) = Alone::exposing(&place, &gate).get("/").expect("a page");
    assert_eq!(head.status(), 502);
    assert!(String::from_utf8_lossy(&page).contains("Nothing is listening"));

    let silent = Origin::start(|mut visitor| visitor.head().map(drop));
    let mut tunnel = Alone::exposing(&silent.port.to_string(), &gate);
    let (head, page) = tunnel.get("/").expect("a page");
    assert_eq!(head.status(), 502);
    assert!(String::from_utf8_lossy(&page).contains("closed the connection without an answer"));
    let told = tunnel.agent.event("request");
    assert!(told["note"].as_str().is_some_and(|note| note.contains("closed the connection")), "{told}");

    let garbled = Origin::start(|mut visitor| {
        visitor.head()?;
        visitor.send("220 mail.example ESMTP\r\n")
    });
    let (head, page) = Alone::exposing(&garbled.port.to_string(), &gate).get("/").expect("a page");
    assert_eq!(head.status(), 502);
    assert!(String::from_utf8_lossy(&page).contains("did not answer in HTTP"), "{page:?}");

    let short = Origin::start(|mut visitor| {
        visitor.head()?;
        visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    });
    // Whether its head had left already is a matter of moments.
    match Alone::exposing(&short.port.to_string(), &gate).get("/") {
        Ok((head, _)) => assert_eq!(head.status(), 502, "half an answer looked whole"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
    }
}

#[test]
fn a_service_that_closes_after_every_answer_is_asked_over_a_new_connection() {
    let origin = Origin::start(|mut visitor| {
        let head = visitor.head()?;
        visitor.send(ok(head.target().as_bytes()))
    });
    let tunnel = Alone::exposing(&origin.port.to_string(), &["--host-header", "localhost"]);
    for n in 0..20 {
        let target = format!("/{n}");
        let (head, body) = tunnel.get(&target).expect("an answer");
        assert_eq!((head.status(), body), (200, target.into_bytes()));
    }
}

#[test]
fn a_service_that_refuses_the_host_is_recognised_with_and_without_the_gate() {
    let vite = Origin::answering(|head: &Head, _| match head.field("host") {
        Some(host) if host.starts_with("localhost") => ok(b"the page"),
        _ => answer("403 Forbidden", &[], b"Blocked request. This host (\"x\") is not allowed."),
    });
    let place = format!("localhost:{}", vite.port);
    for arguments in [&[][..], &["--basic-auth", ACCOUNT]] {
        let mut tunnel = Alone::exposing(&place, arguments);
        let (head, _) = tunnel.ask("GET", "/", &[&login(ACCOUNT)], &[]).expect("an answer");
        assert_eq!(head.status(), 403);
        let told = tunnel.agent.event("request");
        let hint = format!("rerun with --host-header {place}");
        assert!(told["note"].as_str().is_some_and(|note| note.ends_with(&hint)), "{told}");
    }
    let tunnel = Alone::exposing(&place, &["--host-header", &place]);
    assert_eq!(tunnel.get("/").expect("an answer").1, b"the page");
}

#[test]
fn a_folder_has_a_gate_like_any_service() {
    let home = Home::new();
    fs::write(home.path("index.html"), "inside").expect("a folder takes a file");
    let path = home.path("").to_str().expect("text").to_owned();
    let tunnel = Alone::exposing_in(home, &path, &["--basic-auth", ACCOUNT], |_| ());
    assert_eq!(tunnel.get("/").expect("an answer").0.status(), 401);
    let (_, body) = tunnel.ask("GET", "/", &[&login(ACCOUNT)], &[]).expect("an answer");
    assert_eq!(body, b"inside");
}

#[test]
fn what_is_under_way_behind_the_gate_is_finished_before_the_end() {
    let (asked, asking) = channel();
    let (answer_now, go) = channel::<()>();
    let (asked, go) = (Mutex::new(asked), Mutex::new(go));
    let origin = Origin::start(move |mut visitor| {
        visitor.head()?;
        asked.lock().expect("no panic").send(()).expect("the test waits");
        go.lock().expect("no panic").recv().expect("the test goes on");
        visitor.send(ok(b"finished"))
    });
    let mut tunnel = Alone::exposing(&origin.port.to_string(), &["--host-header", "localhost"]);
    let mut visitor = tunnel.visit();
    visitor.send(request(tunnel.host(), "GET", "/", &[])).expect("the relay reads");
    asking.recv_timeout(PATIENCE).expect("the question arrives");
    tunnel.agent.signal(Signal::INT);
    tunnel.agent.event("draining");
    answer_now.send(()).expect("the service waits");
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"finished");
    assert_eq!(tunnel.agent.code(), 0, "{tunnel:?}");
}
