//! What a relay answers to its console in the states in which the page is tried.

use serde_json::{Value, json};

/// When everything here happened, seconds since 1970: half a minute past 11 on 31 January 2026.
const NOW: u64 = 1_769_857_230;
/// As long as an address is.
const ADDRESS: &str = "GABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVW";

fn agent(number: usize) -> Value {
    let system = ["native", "hvym", "cloudtolocalllm"][number % 3];
    json!({
        "agent": address(number), "system": system, "since": NOW - 3600, "sessions": 1, "services": ["web", "llm-of-the-second-floor"],
        "url": format!("https://abcdefgh{number:08}.tunnel.example/"),
    })
}

fn address(number: usize) -> String {
    format!("{}{number:06}", &ADDRESS[..50])
}

fn session(number: usize) -> Value {
    json!({
        "id": number, "agent": address(number), "key": (number == 0).then(|| address(99)), "system": "native", "version": "0.1.0",
        "from": "2001:db8:1234:5678:9abc:def0:1234:5678", "since": NOW - 3600, "silent_seconds": 0.4, "services": ["web"], "links": 1,
        "streams": 17, "round_trip_ms": 12.4, "requests": 123_456, "failed_requests": 12, "average_ms": 3.4, "bytes_in": 12_345_678,
        "bytes_out": 9_876_543_210_u64,
    })
}

fn service(number: usize, name: &str, public: bool) -> Value {
    json!({
        "agent": address(number), "service": name, "protocol": "http", "public": public,
        "url": public.then(|| format!("https://{name}--abcdefghijklmnop.a-domain-of-some-length.tunnel.example/")), "sessions": 1,
    })
}

fn tunnel(domain: &str, enabled: bool, connected: bool) -> Value {
    json!({
        "domain": domain, "name": "The shop", "description": "of the second floor, which is a longer description than most people write",
        "mode": "http", "enabled": enabled, "bytes_in": 1_234_567, "bytes_out": 987_654_321, "connected": connected, "token": null,
        "created_at": "2026-01-30T10:08:42", "last_connected_at": connected.then_some("2026-01-31T10:08:42.123456"),
        "last_seen": null, "total_requests": 12_345, "client_version": connected.then_some("0.12.0"),
    })
}

fn logged(id: u64, status: Option<u16>) -> Value {
    json!({
        "id": id, "timestamp": "2026-01-31T10:08:42.123456", "tunnel_domain": "app", "method": "POST",
        "path": "/a/path/that/is/rather/long/and/has?a=query&that=is&longer=than&the=screen&of=a&telephone=1",
        "request_headers": "{\"accept\":\"*/*\",\"authorization\":\"[REDACTED]\"}", "request_body": "{\"asked\":[1,2,3]}",
        "status_code": status, "response_headers": "{\"content-type\":\"text/plain\"}", "response_body": "answered",
        "error": status.is_none().then_some("the agent did not answer in time"), "duration_ms": 123 * id,
    })
}

fn own_request(service: &str, status: Option<u16>, error: Option<&str>) -> Value {
    json!({
        "at": NOW, "service": service, "method": "POST", "path": "/a/path/that/is/rather/long/and/longer/than/the/screen/of/a/telephone",
        "status": status, "duration_ms": 12.345, "error": error,
    })
}

fn record(action: &str, detail: &str, agent: bool) -> Value {
    json!({
        "at": NOW, "action": action, "agent": agent.then_some(ADDRESS), "peer": "2001:db8:1234:5678:9abc:def0:1234:5678", "detail": detail,
        "suppressed": u64::from(action == "wrong_key") * 42,
    })
}

/// An hour with two hills.
fn history() -> Value {
    let points = (0..360_u32).map(|step| {
        let hill = (f64::from(step) / 60.0).sin().abs();
        let requests = (hill * 900.0).round();
        json!({
            "at": NOW - 3600 + u64::from(step) * 10, "agents": 3, "connections": (hill * 40.0).round() + 3.0, "requests": requests,
            "failed_requests": (requests / 90.0).round(), "refused_logins": u32::from(step % 50 == 7), "bytes_in": requests * 400.0,
            "bytes_out": requests * 9000.0,
        })
    });
    json!({ "interval_seconds": 10, "points": points.collect::<Vec<_>>() })
}

/// The same for the owner of one of its agents.
pub(crate) fn owner_console() -> Value {
    let mut answers = console(1);
    answers["/api/session"]["role"] = json!("owner");
    answers["/api/session"]["identity"] = json!(address(0));
    answers["/api/session"]["has_tunnels"] = json!(false);
    answers
}

/// Everything that the console of a relay with so many agents asks for, by its paths.
pub(crate) fn console(agents: usize) -> Value {
    let all = |make: &dyn Fn(usize) -> Value| (0..agents).map(make).collect::<Vec<_>>();
    let services: Vec<_> = (0..agents)
        .flat_map(|number| [service(number, "web", true), service(number, "llm", false)])
        .collect();
    json!({
        "/api/session": {
            "signed_in": true, "identity": ADDRESS, "seconds": 43_000, "role": "operator", "by_key": true,
            "domain": "a-domain-of-some-length.tunnel.example", "relay": ADDRESS, "has_tunnels": true,
        },
        "/api/v1/status": {
            "version": "0.1.0", "address": ADDRESS, "domain": "tunnel.example", "url": "https://a-domain-of-some-length.tunnel.example",
            "started": NOW - 90_000, "draining": false, "agents": agents, "sessions": agents, "connections": 43, "requests": 1_234_567,
            "pending_requests": 3, "failed_requests": 1234,
        },
        "/api/v1/history": history(),
        "/api/v1/agents": { "agents": all(&agent) },
        "/api/v1/sessions": { "sessions": all(&session) },
        "/api/v1/services": { "services": services },
        "/api/v1/names": { "names": [
            { "name": "cool-app", "origin": "claimed", "agent": ADDRESS, "connected": true },
            { "name": "app.a-host-name-of-its-owner.example.org", "origin": "claimed", "agent": ADDRESS, "connected": false },
        ] },
        "/api/tunnels": [
            tunnel("app", true, true), tunnel("a-label-of-sixty-three-letters-which-is-the-most-that-there-can-be", true, false),
            tunnel("off", false, false),
        ],
        "/api/v1/requests": { "agent": address(0), "total": 123, "services": ["llm", "web"], "requests": [
            own_request("web", Some(200), None), own_request("llm", Some(404), None),
            own_request("web", Some(502), Some("The service behind the tunnel closed the connection before it had answered, or sent something that is no HTTP.")),
            own_request("llm", None, Some("the visitor left before there was a response")),
        ] },
        "/api/tunnels/app/logs": { "total": 123, "logs": [logged(1, Some(200)), logged(2, Some(404)), logged(3, None)] },
        "/api/v1/bans": { "bans": [
            { "subject": ADDRESS, "until": NOW + 3600, "reason": "spam, and a reason that is a hundred characters long, as long as one can be, and no longer than that" },
            { "subject": "2001:db8:1234:5678::/64", "reason": "" },
        ] },
        "/api/v1/audit": { "records": [
            record("login_refused", "not on the list of this relay", true), record("wrong_key", "a key for the API was wrong", false),
            record("banned", "for 3600 s: spam", true),
        ] },
        "/api/audit": [
            { "id": 2, "created_at": "2026-01-31T10:08:42.123456", "action": "regenerate", "domain": "app", "detail": null, "source_ip": "192.0.2.7" },
            { "id": 1, "created_at": "2026-01-31T10:08:41.123456", "action": "create", "domain": "app", "detail": "The shop", "source_ip": "192.0.2.7" },
        ],
        "/api/v1/limits": { "limits": {
            "max_connections": { "max": 10_000.0, "used": 9_000.0 }, "max_agents": { "max": 512.0, "used": 3.0 },
            "visitor_rate": { "max": 100.0, "used": null }, "tcp_ports": { "max": null, "used": 0.0 },
        } },
        "/api/v1/config": { "options": {
            "access": { "allow_agent": [ADDRESS, format!("{ADDRESS} tcp-ports=2 max-services=5")], "deny_agent": [ADDRESS],
                "allow_agents_file": "/etc/hvym-tunnel/agents", "open": false },
            "admin": { "admin_listen": "127.0.0.1:9100", "admin_key_file": "/etc/hvym-tunnel/a-file-with-a-long-name/admin.key", "operator": [ADDRESS] },
        } },
    })
}
