//! Our agent at a server that speaks as a CloudToLocalLLM relay does.

use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::older::Port;
use serde_json::json;

use super::Exposed;

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhdXRoMHx0ZXN0In0.c2lnbmF0dXJl";

#[test]
fn the_token_goes_into_the_upgrade_and_requests_come_as_messages() {
    let port = Port::default();
    let service = Origin::answering(|head, body| {
        hvym_tunnel_tests::http::answer("200 OK", &[("X-Target", head.target())], &body)
    });
    let mut exposed = Exposed::start(&service.port.to_string(), &port.url(), "cloud", TOKEN, &["-vvv"]);
    let (mut link, upgrade) = port.accept();
    assert_eq!(upgrade.uri().path(), "/ws/tunnel");
    assert_eq!(upgrade.uri().query(), None, "what is in a URL is in logs");
    let shown = upgrade.headers().get("authorization").and_then(|value| value.to_str().ok());
    assert_eq!(shown, Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(exposed.ready()["url"], port.url().replace("ws://", "http://"));
    link.say(&json!({"type": "ping", "id": "p-1", "timestamp": "2026-01-01T00:00:00.000Z"}));
    assert_eq!(link.hear_of("pong")["id"], "p-1");
    let body = r#"{"model":"llama", "stream": false}"#;
    link.say(&json!({"type": "http_request", "id": "r-1", "method": "POST", "path": "/api/chat",
                     "headers": {"content-type": "application/json"}, "body": body}));
    let answer = link.hear_of("http_response");
    assert_eq!(
        (&answer["id"], &answer["status"], &answer["body"]),
        (&json!("r-1"), &json!(200), &json!(body))
    );
    assert_eq!(answer["headers"]["x-target"], "/api/chat", "{answer}");
    assert!(!exposed.program.transcript().contains(TOKEN));
}

#[test]
fn a_server_that_takes_the_token_in_the_url_alone_gets_it_there_after_it_refused_the_header() {
    let port = Port::default();
    let service = Origin::saying(b"hello");
    let mut exposed = Exposed::start(&service.port.to_string(), &port.url(), "cloud", TOKEN, &[]);
    port.refuse(UNAUTHORIZED).expect("the agent asked");
    let (mut link, upgrade) = port.accept();
    assert_eq!(upgrade.uri().path(), "/ws/tunnel");
    assert_eq!(upgrade.uri().query(), Some(format!("token={TOKEN}").as_str()));
    assert!(upgrade.headers().get("authorization").is_none());
    exposed.ready();
    link.say(&json!({"type": "http_request", "id": "r-1", "method": "GET", "path": "/", "headers": {}}));
    assert_eq!(link.hear_of("http_response")["body"], "hello");
    let said = exposed.program.transcript();
    assert!(said.contains("it may stand in logs") && !said.contains(TOKEN), "{said}");
}

#[test]
fn cookies_of_a_service_are_the_list_that_these_relays_take() {
    let port = Port::default();
    let service = Origin::answering(|_, _| {
        let cookies = [("Set-Cookie", "a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT"), ("Set-Cookie", "b=2")];
        hvym_tunnel_tests::http::answer("200 OK", &cookies, b"two")
    });
    let mut exposed = Exposed::start(&service.port.to_string(), &port.url(), "cloud", TOKEN, &[]);
    let (mut link, _) = port.accept();
    exposed.ready();
    link.say(&json!({"type": "http_request", "id": "r-1", "method": "GET", "path": "/", "headers": {}}));
    let answer = link.hear_of("http_response");
    let cookies = json!(["a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT", "b=2"]);
    assert_eq!(answer["headers"]["set-cookie"], cookies, "{answer}");
}

#[test]
fn a_token_that_is_refused_in_the_upgrade_or_behind_it_is_the_end() {
    let port = Port::default();
    let mut exposed = Exposed::start("3000", &port.url(), "cloud", TOKEN, &[]);
    for _ in ["as a header", "in the URL"] {
        port.refuse(UNAUTHORIZED).expect("the agent asked");
    }
    assert_eq!(exposed.program.code(), 4, "{exposed:?}");
    let mut exposed = Exposed::start("3000", &port.url(), "cloud", TOKEN, &[]);
    let (link, _) = port.accept();
    link.close(4001, "Invalid token");
    assert_eq!(exposed.program.code(), 4, "{exposed:?}");
    let said = exposed.program.transcript();
    assert!(said.contains("Invalid token") && said.contains("check the token"), "{said}");
}
