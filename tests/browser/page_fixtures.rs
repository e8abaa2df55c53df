//! What a manager and an inspector answer in the states in which their pages are tried.

use serde_json::{Value, json};

/// When everything here happened.
const NOW: &str = "2026-01-31T11:00:30.000Z";

pub(crate) fn link(name: &str, state: &str, error: Option<&str>) -> Value {
    let is_waiting = state == "reconnecting";
    json!({
        "name": name, "relay": "wss://tunnel.example/connect", "relay_address": null, "address": "GABC", "state": state, "since": NOW,
        "attempts": 0, "retry_in_ms": is_waiting.then_some(4200), "round_trip_ms": (state == "connected").then_some(12.4),
        "last_error": error,
    })
}

pub(crate) fn service(name: &str, public: bool, requests: u64) -> Value {
    json!({
        "name": name, "link": "home", "target": "http://localhost:3000", "url": format!("https://{name}--abcdefgh.tunnel.example"),
        "port": null, "public": public, "allow": [], "requests": requests, "bytes_in": requests * 300, "bytes_out": requests * 9000,
    })
}

pub(crate) fn connection(kind: &str, state: &str, error: Option<&str>) -> Value {
    let is_there = state == "connected";
    json!({
        "type": kind, "connected": is_there, "state": state, "endpoint": "http://localhost:11434",
        "version": (kind == "ollama").then_some("0.9.0"),
        "models": if kind == "ollama" { vec!["llama3.2:latest", "qwen2.5-coder:7b"] } else { vec![] }, "latency": 3.2, "last_check": NOW,
        "quality": if is_there { "Excellent" } else { "Critical" }, "error": error,
    })
}

pub(crate) fn alert(id: u64, subject: &str, holds: bool) -> Value {
    json!({
        "id": id, "kind": "disconnected", "subject": subject, "message": format!("{subject} is not reached"), "raised_at": NOW,
        "cleared_at": (!holds).then_some(NOW), "acknowledged": false, "escalated": false,
    })
}

/// An hour with two hills.
pub(crate) fn history() -> Value {
    let points = (0..60).map(|minute| {
        let hill = (f64::from(minute) / 9.0).sin().abs();
        let requests = (hill * 6000.0).round();
        let latency = |factor: f64| (requests > 0.0).then_some((4.0 + hill * 20.0) * factor);
        json!({
            "at": format!("2026-01-31T10:{minute:02}:00.000Z"), "requests": requests, "errors": (requests / 90.0).round(),
            "requests_per_second": requests / 60.0, "bytes_in": requests * 400.0, "bytes_out": requests * 9000.0,
            "p50": latency(1.0), "p95": latency(3.0), "p99": latency(6.5),
        })
    });
    json!({ "range": "1h", "interval_seconds": 60, "points": points.collect::<Vec<_>>(), "timestamp": NOW })
}

/// Everything that a dashboard asks a manager for, by its paths.
pub(crate) fn dashboard(
    links: Vec<Value>,
    services: Vec<Value>,
    connections: Value,
    alerts: Vec<Value>,
) -> Value {
    let is_connecting = links.iter().any(|link| link["state"] == "connecting");
    let (active, past): (Vec<_>, Vec<_>) =
        alerts.into_iter().partition(|alert| alert["cleared_at"].is_null());
    let schema = include_str!("../../runner-native/settings/config.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    json!({
        "/api/health": { "status": if active.is_empty() { "healthy" } else { "degraded" }, "uptime": 93_784, "version": "1.0.0", "score": 87.4, "timestamp": NOW },
        "/api/status": {
            "tunnel_manager": { "running": true, "connecting": is_connecting, "error": null },
            "connections": connections, "best_connection": "llm", "timestamp": NOW, "links": links, "services": services,
        },
        "/api/metrics": {
            "tunnel_metrics": {
                "totalRequests": 12_362, "successfulRequests": 12_310, "failedRequests": 52, "requestsPerSecond": 41.7, "averageLatency": 8.43,
                "memoryUsageMB": 14.2, "cpuUsagePercent": 1.3,
            },
            "latency": { "p50": 4.0, "p95": 21.0, "p99": 80.0 }, "throughput": { "bytes_in_per_s": 1.0, "bytes_out_per_s": 1.0 },
            "error_rate": 0.004, "uptime_percent": { "24h": 99.87, "7d": 99.99 },
        },
        "/api/v1/alerts": { "active": active, "history": past },
        "/api/v1/history": history(),
        "/api/v1/settings/schema": schema,
        "/api/v1/settings": { "file": "/home/ann/.config/hvym-tunnel/config.toml", "exists": true, "settings": settings(&schema),
            "overrides": { "log.level": { "origin": "HVYM_TUNNEL_LOG_LEVEL", "value": "debug" } }, "backups": ["a", "b"] },
    })
}

/// The defaults, with one link and an Ollama.
fn settings(schema: &Value) -> Value {
    let defaults = schema["properties"].as_object().expect("sections");
    let mut settings: Value =
        defaults.iter().map(|(name, section)| (name.clone(), section["default"].clone())).collect();
    settings["link"] = json!([{
        "name": "home", "relay": "wss://tunnel.example/connect", "dialect": "auto", "audience": null, "enabled": true, "auto_connect": true,
        "reconnect_delay": 1, "max_reconnect_delay": 60,
    }]);
    settings["service"] = json!([{ "name": "llm", "target": "http://localhost:11434", "probe": "ollama", "enabled": true, "public": true }]);
    settings
}

/// Six requests of an inspector, the latest first, and what it says of them, by its paths.
pub(crate) fn exchange() -> (Vec<Value>, Value) {
    let summary = |id: u64, method: &str, target: &str, status: Option<u16>, kind: &str, progress: &str| {
        without_nulls(json!({
            "id": id, "service": "web", "started_ms": 1_769_857_200_000_u64 + id * 1000, "method": method, "target": target, "status": status,
            "kind": kind, "progress": progress, "duration_ms": (progress != "open").then_some(12.5), "request_bytes": 14, "response_bytes": 2048,
            "messages": match kind { "events" => 3, "websocket" => 6, _ => 0 }, "media_type": "application/json",
        }))
    };
    let long = format!("/search?q={}", "a-long-word-".repeat(20));
    let requests = vec![
        summary(6, "PUT", "/api/items/8", None, "http", "broken"),
        summary(5, "GET", "/chat", Some(101), "websocket", "open"),
        summary(4, "DELETE", "/api/items/7", Some(500), "http", "complete"),
        summary(3, "GET", "/events", Some(200), "events", "open"),
        summary(2, "GET", &long, None, "http", "open"),
        summary(1, "POST", "/api/items", Some(201), "http", "complete"),
    ];
    let field = |name: &str, value: &str| json!({ "name": name, "value": value });
    let message = |length: u64| {
        json!({
            "version": "HTTP/1.1", "reason": "Created", "body": { "length": length, "whole": true, "kept": true },
            "headers": [field("Host", "abcdefgh.tunnel.example"), field("Content-Type", "application/json"),
                json!({ "name": "Authorization", "value": "••••••••", "masked": true }),
                field("User-Agent", &"Mozilla/5.0 (X11; Linux x86_64) ".repeat(4))],
        })
    };
    let detail = |of: &Value| {
        let mut detail = of.clone();
        detail["url"] =
            json!(format!("https://abcdefgh.tunnel.example{}", of["target"].as_str().unwrap_or_default()));
        detail["timing"] = without_nulls(
            json!({ "request_ms": 1.5, "response_ms": 9.25, "end_ms": (of["progress"] != "open").then_some(12.5) }),
        );
        detail["request"] = message(14);
        detail["response"] = if of["status"].is_null() { Value::Null } else { message(2048) };
        detail["replayable"] = json!(of["kind"] == "http");
        without_nulls(detail)
    };
    let events = (1..=3).map(|number| {
        json!({ "number": number, "at_ms": f64::from(number) * 1000.0, "sender": "service", "kind": "event", "name": "tick", "length": 12,
            "text": "{\"tick\": 1}" })
    });
    let messages = [
        ("visitor", "text", json!({ "text": "{\"join\": \"lobby\"}" })),
        (
            "service",
            "text",
            json!({ "text": format!("{{\"said\": \"{}\"}}", "a long line without a break ".repeat(20)) }),
        ),
        ("service", "binary", json!({ "base64": "AAECAwQFBgcICQ==" })),
        ("visitor", "ping", json!({ "text": "" })),
        ("service", "pong", json!({ "text": "" })),
        ("service", "close", json!({ "text": "1001 going away" })),
    ];
    let messages = messages.into_iter().zip(1_u32..).map(|((sender, kind, mut message), number)| {
        for (name, value) in
            [("number", json!(number)), ("at_ms", json!(f64::from(number) * 90.0)), ("length", json!(10))]
        {
            message[name] = value;
        }
        (message["sender"], message["kind"]) = (json!(sender), json!(kind));
        message
    });
    let mut details = json!({
        "/api/requests/5/messages": { "total": 6, "messages": messages.collect::<Vec<_>>() },
        "/api/requests/3/messages": { "total": 3, "messages": events.collect::<Vec<_>>() },
        "/api/requests/1/request/body": "{\"name\":\"lamp\"}",
        "/api/requests/1/response/body": "{\"id\":7,\"name\":\"lamp\",\"tags\":[\"new\",\"light\"],\"price\":12.5,\"sold\":false,\"seller\":null}",
    });
    for request in &requests {
        details[format!("/api/requests/{}", request["id"])] = detail(request);
    }
    (requests, details)
}

/// Without members that are nothing, which an inspector leaves out.
fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
