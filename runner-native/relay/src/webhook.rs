//! Tells a URL of the operator's which agents come and go. Never in an agent's way: what the URL does not take is dropped,
//! and said.

use std::fmt::Write;
use std::sync::Weak;
use std::time::Duration;

use hvym_tunnel_net::http_get::{PlainRequest, send};
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;
use ring::hmac;

use crate::config::WebhookOptions;
use crate::notices::{MAX_QUEUED, Notice};
use crate::relay_state::RelayState;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Pauses before a notice is sent again: long enough for a receiver that is restarted.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Of the answer, only its status counts.
const MAX_RESPONSE_BYTES: usize = 4 * 1024;

/// Sends what is queued until the relay ends.
pub(crate) async fn run(state: Weak<RelayState>) {
    loop {
        let Some(queue) = state.upgrade().map(|state| state.events.notices.clone()) else { return };
        let notice = queue.next().await;
        let Some(current) = state.upgrade() else { return };
        let options = current.live.get().webhook().cloned();
        drop(current);
        let dropped = queue.take_dropped();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "the webhook was {MAX_QUEUED} notices behind: those that followed were dropped"
            );
        }
        let Some(options) = options else { continue };
        if let Err(error) = deliver(&options, &notice).await {
            tracing::warn!(agent = ?notice.domain, event = notice.event, url = ?options.url, error = ?error, "the webhook was not told");
        }
    }
}

/// Sends a notice, again if need be.
async fn deliver(options: &WebhookOptions, notice: &Notice) -> Result<(), String> {
    let mut outcome = attempt(options, notice).await;
    for pause in RETRY_AFTER {
        if outcome.is_ok() {
            break;
        }
        Timer::after(pause).await;
        outcome = attempt(options, notice).await;
    }
    outcome
}

async fn attempt(options: &WebhookOptions, notice: &Notice) -> Result<(), String> {
    let body = serde_json::json!({ "domain": notice.domain, "event": notice.event }).to_string();
    let signature = options.secret.as_ref().map(|secret| signature(secret.bytes(), body.as_bytes()));
    let fields: Vec<(&str, &str)> =
        signature.iter().map(|signature| ("X-Webhook-Signature", signature.as_str())).collect();
    let path = format!("{}/api/tunnel/{}", options.url.path().trim_end_matches('/'), notice.event);
    let request = PlainRequest { method: "POST", path: &path, fields: &fields, body: body.as_bytes() };
    // An operator who wrote `http:` means it; the signature is what protects the notice.
    let dialing = DialOptions { allow_plaintext: true, trust: Trust::Verify, proxy: None, token: None };
    let sent = send(options.url.dialed(), options.url.host(), &request, MAX_RESPONSE_BYTES, &dialing);
    match within(REQUEST_LIMIT, sent).await {
        None => Err(format!("no answer within {} s", REQUEST_LIMIT.as_secs())),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(answer)) if (200..300).contains(&answer.status) => Ok(()),
        Some(Ok(answer)) => Err(format!("status {}", answer.status)),
    }
}

/// As Tunely's relay signs: `sha256=`, and the HMAC of the body in hexadecimal digits.
fn signature(secret: &[u8], body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body);
    let mut text = "sha256=".to_owned();
    for byte in tag.as_ref() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 section 4.3.
    #[test]
    fn a_signature_is_the_hmac_of_the_body() {
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
