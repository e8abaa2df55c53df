//! Reports of another process, from the JSON that it wrote: what a manager tells of what it does for this one.

use std::net::IpAddr;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;
use serde::Deserialize;
use serde_json::Value;

use super::{Report, Reporter, RequestReport};

/// The reports that are about services and forwards, by the names that they have in JSON.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReportKind {
    Ready,
    Bound,
    BindFailed,
    Unbound,
    RequestOngoing,
    Connection,
    Disconnected,
    Reconnected,
    UpstreamUnreachable,
    UpstreamReachable,
    #[serde(rename = "told")]
    Notice,
    Draining,
    Reached,
    Refused,
    Forwarding,
    NotReached,
}

/// The report of an event; `None` of a request, and of what is about neither services nor forwards.
pub(crate) fn report(event: &Value) -> Option<Report> {
    let (text, optional) = (|name| text(event, name), |name| optional(event, name));
    let millis = |name: &str| Duration::from_millis(event[name].as_u64().unwrap_or_default());
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let kind = ReportKind::deserialize(&event["event"]).ok()?;
    Some(match kind {
        ReportKind::Ready => Report::Ready {
            url: text("url"),
            target: text("target"),
            service: text("service"),
            address: Some(address(event, "address")?),
            relay: text("relay"),
            private: event["private"] == true,
            note: None,
        },
        ReportKind::Bound => {
            Report::Bound { service: text("service"), url: text("url"), target: text("target") }
        }
        ReportKind::BindFailed => {
            Report::BindFailed { service: text("service"), code: text("code"), message: text("message") }
        }
        ReportKind::Unbound => {
            Report::Unbound { service: text("service"), code: "replaced", by: optional("by") }
        }
        ReportKind::RequestOngoing => Report::RequestOngoing {
            method: text("method"),
            path: text("path"),
            visitor: visitor(event),
            status: status(event),
            elapsed: millis("elapsed_ms"),
            service: optional("service"),
        },
        ReportKind::Connection => Report::Connection {
            visitor: optional("visitor"),
            received: number("received"),
            sent: number("sent"),
            lasted: millis("lasted_ms"),
            service: optional("service"),
            note: optional("note"),
        },
        ReportKind::Disconnected => Report::Disconnected {
            reason: text("reason"),
            retry_in: event["retry_in_ms"].as_u64().map(Duration::from_millis),
            attempt: u32::try_from(number("attempt")).unwrap_or(u32::MAX),
            hint: optional("hint"),
            is_again: true,
        },
        ReportKind::Reconnected => Report::Reconnected { url: text("url"), after: millis("after_ms") },
        kind => return of_service(kind, event),
    })
}

fn of_service(kind: ReportKind, event: &Value) -> Option<Report> {
    let (text, optional) = (|name| text(event, name), |name| optional(event, name));
    Some(match kind {
        ReportKind::UpstreamUnreachable => Report::UpstreamUnreachable {
            service: text("service"),
            target: text("target"),
            message: text("message"),
        },
        ReportKind::UpstreamReachable => {
            Report::UpstreamReachable { service: text("service"), target: text("target") }
        }
        ReportKind::Notice => {
            Report::Notice { code: text("code"), message: text("message"), hint: optional("hint") }
        }
        ReportKind::Draining => {
            let deadline = Duration::from_millis(event["deadline_ms"].as_u64().unwrap_or_default());
            Report::Draining { reason: text("reason"), deadline }
        }
        ReportKind::Reached => Report::Reached {
            service: text("service"),
            from: address(event, "from")?,
            key: address(event, "key"),
        },
        ReportKind::Refused => Report::Refused {
            service: text("service"),
            from: address(event, "from")?,
            key: address(event, "key"),
        },
        ReportKind::Forwarding => Report::Forwarding {
            service: text("service"),
            listen: text("listen"),
            address: address(event, "address")?,
            relay: text("relay"),
        },
        ReportKind::NotReached => Report::NotReached {
            service: text("service"),
            code: text("code"),
            message: text("message"),
            hint: optional("hint"),
        },
        _ => return None,
    })
}

/// Tells of a request, if the event is one.
pub(crate) fn request(event: &Value, reporter: &Reporter) {
    let word = |name: &str| event[name].as_str();
    if word("event") == Some("request") {
        reporter.tell_request(&RequestReport {
            method: word("method").unwrap_or_default(),
            path: word("path").unwrap_or_default(),
            visitor: visitor(event),
            status: status(event).unwrap_or_default(),
            millis: event["millis"].as_u64().unwrap_or_default(),
            bytes: event["bytes"].as_u64(),
            service: word("service"),
            note: word("note"),
        });
    }
}

fn text(event: &Value, name: &str) -> String {
    optional(event, name).unwrap_or_default()
}

fn optional(event: &Value, name: &str) -> Option<String> {
    event[name].as_str().map(str::to_owned)
}

fn address(event: &Value, name: &str) -> Option<Address> {
    event[name].as_str()?.parse().ok()
}

fn visitor(event: &Value) -> Option<IpAddr> {
    event["visitor"].as_str()?.parse().ok()
}

fn status(event: &Value) -> Option<u16> {
    u16::try_from(event["status"].as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json;

    #[test]
    fn what_one_process_writes_another_reads() {
        let address = Address::from_public_key([7; 32]);
        let (service, target) = ("web".to_owned(), "http://localhost:3000".to_owned());
        let (url, second) = ("https://x.example".to_owned(), Duration::from_secs(1));
        let visitor = Some(IpAddr::from([203, 0, 113, 7]));
        let all = [
            Report::Ready {
                url: url.clone(),
                target: target.clone(),
                service: service.clone(),
                address: Some(address),
                relay: "wss://relay.example".to_owned(),
                private: true,
                note: None,
            },
            Report::Bound { service: service.clone(), url: url.clone(), target: target.clone() },
            Report::BindFailed { service: service.clone(), code: "c".to_owned(), message: "m".to_owned() },
            Report::Unbound { service: service.clone(), code: "replaced", by: Some("other".to_owned()) },
            Report::RequestOngoing {
                method: "GET".to_owned(),
                path: "/a".to_owned(),
                visitor,
                status: Some(200),
                elapsed: second,
                service: None,
            },
            Report::Connection {
                visitor: Some("203.0.113.7".to_owned()),
                received: 1,
                sent: 2,
                lasted: second,
                service: None,
                note: Some("cut off".to_owned()),
            },
            Report::Disconnected {
                reason: "r".to_owned(),
                retry_in: Some(second),
                attempt: 3,
                hint: Some("h".to_owned()),
                is_again: true,
            },
            Report::Reconnected { url, after: second },
            Report::UpstreamUnreachable {
                service: service.clone(),
                target: target.clone(),
                message: "m".to_owned(),
            },
            Report::UpstreamReachable { service: service.clone(), target },
            Report::Notice { code: "c".to_owned(), message: "m\u{e9}".to_owned(), hint: None },
            Report::Draining { reason: "r".to_owned(), deadline: second },
            Report::Reached { service: service.clone(), from: address, key: None },
            Report::Refused { service: service.clone(), from: address, key: Some(address) },
            Report::Forwarding {
                service: service.clone(),
                listen: "127.0.0.1:5432".to_owned(),
                address,
                relay: "wss://relay.example".to_owned(),
            },
            Report::NotReached { service, code: "c".to_owned(), message: "m".to_owned(), hint: None },
        ];
        for told in all {
            let line = json::line(&told, Duration::ZERO);
            let event = serde_json::from_str(&line).expect("JSON");
            assert_eq!(report(&event), Some(told), "{line}");
        }
        assert_eq!(report(&serde_json::json!({ "event": "request" })), None);
        assert_eq!(report(&serde_json::json!({ "event": "ready", "address": "G" })), None);
    }
}
