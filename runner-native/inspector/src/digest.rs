//! Exchanges as JSON for a program in the same process: without the values of secret fields, and with the beginnings of bodies as text.

use serde_json::{Value, json};

use crate::capture::Capture;
use crate::view::{ExchangeDetail, ExchangeSummary, request_body};

impl Capture {
    /// The latest exchanges, newest first: those of one service or of all, `limit` at most. Queries are left out, since they may be
    /// secret.
    pub fn summaries(&self, service: Option<&str>, limit: usize) -> Vec<Value> {
        let all = self.list(|exchange| {
            let is_wanted = service.is_none_or(|service| *exchange.source.service == *service);
            is_wanted.then(|| ExchangeSummary::new(exchange))
        });
        let latest = all.into_iter().flatten().rev().take(limit);
        latest
            .map(|summary| json!(ExchangeSummary { target: without_query(&summary.target), ..summary }))
            .collect()
    }

    /// One exchange with its fields, and up to `body_bytes` of each body that is text; `None` if it is not kept.
    pub fn detail(&self, id: u64, body_bytes: usize) -> Option<Value> {
        self.look(id, |exchange| {
            let mut detail = json!(ExchangeDetail::new(exchange, false));
            detail["request"]["body"]["text"] =
                json!(beginning(&request_body(&exchange.request), body_bytes));
            if let Some(response) = &exchange.response {
                detail["response"]["body"]["text"] = json!(beginning(response.body.bytes(), body_bytes));
            }
            detail
        })
    }
}

fn without_query(target: &str) -> String {
    target.split('?').next().unwrap_or_default().to_owned()
}

/// The first bytes as text, whole characters only; `None` if they are no text.
fn beginning(bytes: &[u8], limit: usize) -> Option<&str> {
    let first = &bytes[..bytes.len().min(limit)];
    match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // Cut inside a character, by this limit or by that of what is kept.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&first[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hvym_tunnel_core::dialect::Proto;
    use hvym_tunnel_core::mux::StreamId;
    use hvym_tunnel_net::copy::Direction;
    use hvym_tunnel_net::observer::{ObservedStream, Piece};

    use super::*;
    use crate::redact::MASK;

    /// What is kept after a request with a secret to each of these services.
    fn captured(services: &[&str]) -> Arc<Capture> {
        let capture = Capture::new(false);
        let observer = capture.observer();
        for (service, number) in services.iter().zip(1..) {
            let stream = ObservedStream::new(StreamId::external(1, number), Arc::from(*service), Proto::Http);
            let request = b"POST /a?token=s3cret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\nContent-Length: 4\r\n\r\nbody";
            let response = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n\xff\xfe";
            observer.handle_bytes(&Piece::new(&stream, Direction::ToLocal, Some(request)));
            observer.handle_bytes(&Piece::new(&stream, Direction::ToTunnel, Some(response)));
        }
        capture
    }

    #[test]
    fn the_latest_requests_come_first_and_show_no_query() {
        let capture = captured(&["web", "api", "web"]);
        let ids = |service, limit| -> Vec<u64> {
            let all = capture.summaries(service, limit);
            all.iter().map(|summary| summary["id"].as_u64().expect("a number")).collect()
        };
        assert_eq!((ids(None, 9), ids(None, 2), ids(None, 0)), (vec![3, 2, 1], vec![3, 2], vec![]));
        assert_eq!((ids(Some("web"), 9), ids(Some("other"), 9)), (vec![3, 1], vec![]));
        let [summary] = &capture.summaries(Some("api"), 1)[..] else { panic!("one request") };
        assert_eq!((&summary["method"], &summary["target"]), (&json!("POST"), &json!("/a")));
        assert_eq!(summary["status"], 201);
    }

    #[test]
    fn one_request_has_its_fields_but_secrets_and_its_bodies_if_they_are_text() {
        let capture = captured(&["web"]);
        let detail = capture.detail(1, 3).expect("it is kept");
        let authorization = json!({ "name": "Authorization", "value": MASK, "masked": true });
        assert!(detail["request"]["headers"].as_array().expect("fields").contains(&authorization));
        assert_eq!(detail["request"]["body"]["text"], "bod");
        assert_eq!(detail["response"]["body"]["text"], Value::Null);
        assert_eq!(capture.detail(2, 3), None);
    }

    #[test]
    fn the_beginning_of_a_text_ends_between_two_characters() {
        for (limit, shown) in [(0, ""), (1, "a"), (2, "a"), (3, "a\u{e9}"), (9, "a\u{e9}b")] {
            assert_eq!(beginning("a\u{e9}b".as_bytes(), limit), Some(shown), "{limit}");
        }
        assert_eq!(beginning(b"\xff\xfe", 9), None);
    }
}
