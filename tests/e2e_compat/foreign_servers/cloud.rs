//! Our agent at a server that speaks as a CloudToLocalLLM relay does.

use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::older::Port;
use serde_json::json;

use super::Exposed;

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
fn a_token_that_is_refused_in_the_upgrade_or_behind_it_is_the_end() {
    let port = Port::default();
    let mut exposed = Exposed::start("3000", &port.url(), "cloud", TOKEN, &[]);
    port.refuse("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").expect("the agent asked");
    assert_eq!(exposed.program.code(), 4, "{exposed:?}");
    let mut exposed = Exposed::start("3000", &port.url(), "cloud", TOKEN, &[]);
    let (link, _) = port.accept();
    link.close(4001, "Invalid token");
    assert_eq!(exposed.program.code(), 4, "{exposed:?}");
    let said = exposed.program.transcript();
    assert!(said.contains("Invalid token") && said.contains("check the token"), "{said}");
}
