//! What a relay tells its operator's webhook of agents that come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use hvym_tunnel_tests::guests::{Guest, relay_with, write_config, write_private};
use hvym_tunnel_tests::http::{Origin, answer, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::Relay;
use ring::hmac;

const TUNNEL: &str = "
[[tunely.tunnels]]
name = \"shop\"
token = \"tun_one-token-that-is-long-enough\"
";
const TOKEN: &str = "tun_one-token-that-is-long-enough";

/// One notice: its target, its signature and its body.
type Received = (String, String, String);

/// A receiver that refuses the first `refused` requests, and tells of all others.
fn receiver(refused: usize) -> (Origin, mpsc::Receiver<Received>) {
    let (sender, received) = mpsc::channel();
    let count = AtomicUsize::new(0);
    let origin = Origin::answering(move |head, body| {
        if count.fetch_add(1, Ordering::SeqCst) < refused {
            return answer("503 Service Unavailable", &[], b"");
        }
        let signature = head.field("X-Webhook-Signature").unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(&body).into_owned();
        let _ended = sender.send((head.target().to_owned(), signature, body));
        ok(b"")
    });
    (origin, received)
}

fn next(received: &mpsc::Receiver<Received>) -> Received {
    received.recv_timeout(PATIENCE).expect("the webhook is told")
}

#[test]
fn a_webhook_is_told_of_each_agent_that_comes_and_goes_and_can_check_who_tells() {
    let (origin, received) = receiver(0);
    let home = Home::new();
    write_private(&home, "hook.key", "a secret of the webhook");
    let hook = format!(
        "[webhook]\nurl = \"http://localhost:{}/hooks/\"\nsecret_file = \"hook.key\"\n{TUNNEL}",
        origin.port
    );
    let path = write_config(&home, &hook);
    let relay = Relay::start_in(home, 0, &["--config", &path]);
    let guest = Guest::tunely(&relay, TOKEN, false);
    let (target, signature, body) = next(&received);
    assert_eq!(target, "/hooks/api/tunnel/connected");
    let told: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(told, serde_json::json!({"domain": "shop", "event": "connected"}));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret of the webhook");
    let tag = hex(signature.strip_prefix("sha256=").expect("its algorithm"));
    assert!(hmac::verify(&key, body.as_bytes(), &tag).is_ok());
    drop(guest);
    let (target, _, body) = next(&received);
    assert_eq!(target, "/hooks/api/tunnel/disconnected");
    assert!(body.contains("\"disconnected\""), "{body}");
}

#[test]
fn a_webhook_that_refuses_at_first_is_told_again_and_no_agent_waits_for_it() {
    let (origin, received) = receiver(1);
    let hook = format!("[webhook]\nurl = \"http://127.0.0.1:{}\"\n{TUNNEL}", origin.port);
    let relay = relay_with(&hook, &[]);
    let _guest = Guest::tunely(&relay, TOKEN, false);
    let (target, signature, _) = next(&received);
    assert_eq!((target.as_str(), signature.as_str()), ("/api/tunnel/connected", ""));
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .map(|byte| byte.expect("hexadecimal digits"))
        .collect()
}
