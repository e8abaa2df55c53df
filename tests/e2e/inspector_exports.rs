//! What leaves the inspector: requests as commands of curl, and as an archive; and what never gets in.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use hvym_tunnel_tests::http::{Head, Origin, answer, ok};
use hvym_tunnel_tests::inspected::Inspected;
use hvym_tunnel_tests::installed::{packaged_python, required_tool};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::request;
use serde_json::json;

/// Fields that say which program asks, and by which way.
const OF_THE_WAY: [&str; 10] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "forwarded",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// What makes two requests the same to a service.
fn essence(head: &Head, body: &[u8]) -> (String, Vec<(String, String)>, Vec<u8>) {
    let fields = head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !OF_THE_WAY.contains(&name.as_str())).collect();
    fields.sort();
    (head.first.clone(), fields, body.to_vec())
}

#[test]
fn a_request_that_was_copied_as_curl_asks_the_same_from_a_shell() {
    if required_tool("curl").is_none() {
        return;
    }
    let (sender, requests) = channel();
    let service = Origin::answering(move |head, body| {
        // The test may have ended.
        let _gone = sender.send(essence(head, &body));
        ok(b"fine")
    });
    let inspected = Inspected::exposing(service.port, &[]);
    let odd: &[(&str, &str, &[&str], &[u8])] = &[
        (
            "GET",
            "/a?list[]=1&set={a,b}&quote='x'&word=$HOME`id`",
            &["Cookie: a=1; b='2'", "X-Twice: 1", "X-Twice: 2"],
            b"",
        ),
        ("GET", "/up/../%2e%2e/./here//", &["X-Empty:", "Accept: */*", "Accept-Encoding: gzip"], b""),
        (
            "POST",
            "/json",
            &["Content-Type: application/json", "Authorization: Bearer it's"],
            b"{\"a\": \"it's\\n\"}\n\n",
        ),
        ("POST", "/without-a-type", &[], b"plain @text"),
        ("PUT", "/bytes", &["Content-Type: application/octet-stream"], b"\0\xff\r\nbytes"),
        ("DELETE", "/gone", &["User-Agent: me"], b""),
        ("PATCH", "/@file", &["Content-Type: text/plain"], b"@/etc/passwd"),
        ("OPTIONS", "/", &["Origin: https://a.example"], b""),
    ];
    let token = inspected.token_line();
    let home = Home::new();
    for (number, (method, target, lines, body)) in odd.iter().enumerate() {
        let id = 2 * number + 1;
        inspected.alone.ask(method, target, lines, body).expect("an answer");
        let first = requests.recv_timeout(PATIENCE).expect("it came");
        inspected.requests(id);
        let (head, command) = inspected.own("GET", &format!("/api/requests/{id}/curl?reveal"), &[&token], "");
        assert_eq!(head.status(), 200);
        let command = String::from_utf8(command).expect("text");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("HOME", home.path("")).env("no_proxy", "*").env_remove("CURL_HOME");
        let output = shell.output().expect("a shell");
        assert_eq!(output.stdout, b"fine", "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let again = requests.recv_timeout(PATIENCE).expect("it came again");
        assert_eq!(again, first, "{command}");
        inspected.requests(id + 1);
    }
}

#[test]
fn an_archive_is_as_its_format_says() {
    let Some(python) = packaged_python() else { return };
    let service = Origin::answering(|head, _| match head.target() {
        "/gzip" => answer(
            "200 OK",
            &[("Content-Encoding", "gzip"), ("Set-Cookie", "a=1; Path=/; Secure")],
            b"\x1f\x8b\0",
        ),
        "/moved" => answer("302 Found", &[("Location", "/new")], b""),
        "/events" => {
            answer("200 OK", &[("Content-Type", "text/event-stream")], b"event: a\ndata: 1\n\ndata: 2\n\n")
        }
        _ => answer("200 OK", &[("Content-Type", "text/plain; charset=utf-8")], b"hello"),
    });
    let inspected = Inspected::exposing(service.port, &[]);
    for target in ["/?a=1&b", "/gzip", "/moved", "/events"] {
        inspected.alone.ask("GET", target, &["Cookie: x=1; y=2"], b"").expect("an answer");
    }
    inspected
        .alone
        .ask("POST", "/", &["Content-Type: application/octet-stream"], b"\xff\0")
        .expect("an answer");
    inspected.requests(5);
    let (_, archive) = inspected.own("GET", "/api/har?reveal", &[&inspected.token_line()], "");
    let archive_file = inspected.alone.home.path("requests.har");
    std::fs::write(&archive_file, &archive).expect("the folder takes a file");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/har-1.2.schema.json");
    let validate = "import json, jsonschema, sys\n\
        schema, archive = (json.load(open(name)) for name in sys.argv[1:])\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        jsonschema.Draft202012Validator(schema).validate(archive)\n\
        print(len(archive['log']['entries']))";
    let output =
        Command::new(python).args(["-c", validate]).arg(schema).arg(archive_file).output().expect("python");
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "5\n");
}

/// More than the inspector holds in all, as a whole gigabyte would be.
const LARGE: usize = 96 * 1024 * 1024;
/// What it keeps of one body.
const KEPT: usize = 1024 * 1024;

#[test]
fn a_large_upload_passes_and_only_its_beginning_is_kept() {
    let service = Origin::start(|mut connection| {
        let head = connection.head()?;
        let mut left: usize =
            head.field("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let mut room = vec![0; 256 * 1024];
        while left > 0 {
            let count = left.min(room.len());
            connection.fill(&mut room[..count])?;
            left -= count;
        }
        connection.send(ok(b"fine"))
    });
    let inspected = Inspected::exposing(service.port, &[]);
    inspected.alone.get("/").expect("an answer");
    inspected.requests(1);
    let before = inspected.alone.agent.memory("VmRSS");
    let mut visitor = inspected.alone.visit();
    let length = format!("Content-Length: {LARGE}");
    visitor.send(request(inspected.alone.host(), "POST", "/upload", &[&length])).expect("it is taken");
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..LARGE / piece.len() {
        visitor.send(&piece).expect("it is taken");
    }
    let head = visitor.head().expect("an answer");
    assert_eq!(visitor.body(&head).expect("an answer"), b"fine");
    let listed = &inspected.requests(2)[1];
    assert_eq!(listed["request_bytes"], LARGE);
    let detail = inspected.json("/api/requests/2");
    assert_eq!(
        (&detail["request"]["body"]["whole"], &detail["replayable"]),
        (&json!(false), &json!(false)),
        "{detail}"
    );
    let (_, kept) = inspected.own("GET", "/api/requests/2/request/body", &[], "");
    assert_eq!(kept.len(), KEPT);
    let grown = inspected.alone.agent.memory("VmRSS").saturating_sub(before);
    assert!(grown < 24 * 1024 * 1024, "{grown} bytes more");
}
