//! What the API answers: the shapes of the Tunnel Manager, and those that it describes itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::schema::mismatch;
use crate::world::{Answer, Managed, Ollama, World, service};

/// A manager with a relay, an Ollama that runs, and a service that does not.
fn managed(world: &World, ollama: &Ollama) -> Managed {
    let mut llm = service("ollama", ollama.port);
    llm.probe = hvym_tunnel_manager::settings::ServiceProbe::Ollama;
    let managed = world.manage(vec![world.link("home", vec![llm, service("dead", 1)])]);
    managed.wait("the checks", |status| {
        let state = |name: &str| status["connections"][name]["state"].as_str().unwrap_or_default().to_owned();
        state("ollama") == "connected" && state("home") == "connected" && state("dead") == "failed"
    });
    let url = managed.url("ollama");
    assert_eq!(world.visit(&url).body, "hello");
    managed
}

/// In which way `ours` lacks something of `theirs`, or has something of another type.
fn lacks(theirs: &Value, ours: &Value, at: &str) -> Option<String> {
    match (theirs, ours) {
        // What may be nothing there may be something here.
        (Value::Null, _) => None,
        (Value::Object(theirs), Value::Object(members)) => {
            theirs.iter().find_map(|(name, theirs)| match members.get(name) {
                Some(ours) => lacks(theirs, ours, &format!("{at}/{name}")),
                None => Some(format!("{at}/{name} is missing")),
            })
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            theirs.first().and_then(|theirs| ours.iter().find_map(|ours| lacks(theirs, ours, at)))
        }
        (theirs, ours) => {
            let is_alike = theirs.is_string() == ours.is_string()
                && theirs.is_number() == ours.is_number()
                && theirs.is_boolean() == ours.is_boolean()
                && theirs.is_object() == ours.is_object()
                && theirs.is_array() == ours.is_array();
            (!is_alike).then(|| format!("{at} is {ours}, not like {theirs}"))
        }
    }
}

#[test]
fn the_tunnel_managers_routes_answer_in_its_shapes() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/c2llm/tunnel_manager_shapes.json");
    let golden: Value =
        serde_json::from_str(&std::fs::read_to_string(golden).expect("a recording")).expect("JSON");
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = managed(&world, &ollama);
    let mut compared = 0;
    for (route, theirs) in golden.as_object().expect("an object") {
        let Some((method, path)) = route.split_once(' ').filter(|(_, path)| path.starts_with("/api")) else {
            continue;
        };
        let answer = managed.call(method, path, "");
        assert_eq!(answer.status, 200, "{route}: {answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/json"));
        // Connections have names of their own: each is like theirs of another name.
        let (mut theirs, ours) = (theirs.clone(), answer.json());
        if path == "/api/status" {
            let shape = theirs["connections"]["ollama"].take();
            theirs["connections"] = Value::Object(Default::default());
            for (name, connection) in ours["connections"].as_object().expect("connections") {
                let mut shape = shape.clone();
                // Of one that was never connected there is no version.
                if connection["connected"] == false || connection["type"] != "ollama" {
                    shape["version"] = Value::Null;
                }
                assert_eq!(lacks(&shape, connection, name), None);
            }
            let found = &ours["connections"]["ollama"];
            assert_eq!((&found["version"], &found["models"][0]), (&"0.9.0".into(), &"llama2:latest".into()));
            assert_eq!((&found["type"], &found["quality"]), (&"ollama".into(), &"Excellent".into()));
            assert_eq!(ours["connections"]["dead"]["quality"], "Critical");
            theirs["best_connection"] = Value::String(String::new());
        }
        if path == "/api/connections" {
            theirs["connections"][0]["version"] = Value::Null;
        }
        if path == "/api/metrics" {
            assert!(
                ours["latency"]["p99"].is_number() && ours["uptime_percent"]["24h"].is_number(),
                "{ours:#}"
            );
            assert_eq!(ours["tunnel_metrics"]["totalRequests"], 1);
        }
        assert_eq!(lacks(&theirs, &ours, route), None);
        compared += 1;
    }
    assert_eq!(compared, 8);
    let listed = managed.call("GET", "/api/connections", "").json();
    let named = |name: &str| {
        let all = listed["connections"].as_array().expect("a list");
        all.iter().find(|known| known["name"] == name).expect("it is there").clone()
    };
    let text = named("ollama")["status_description"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("Connected (") && text.ends_with(" ms, 1 models)"), "{text}");
    assert_eq!(
        (&named("ollama")["needs_attention"], &named("dead")["needs_attention"]),
        (&false.into(), &true.into())
    );
    let nowhere = managed.call("GET", "/api/nothing", "");
    assert_eq!(lacks(&golden["404"], &nowhere.json(), "404"), None);
    world.end(managed);
}

#[test]
fn every_answer_is_as_the_description_says() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = managed(&world, &ollama);
    let document = managed.call("GET", "/api/openapi.json", "").json();
    let new = r#"{"name":"docs","target":"127.0.0.1:1","private":true,"allow":[]}"#;
    let limits = managed.call("GET", "/api/v1/thresholds", "").body;
    let mut calls = BTreeMap::from([
        (
            "POST /api/v1/services",
            vec![
                r#"{"name":"docs","target":"127.0.0.1:1"}"#,
                r#"{"name":"docs","target":"127.0.0.1:2"}"#,
                new,
                "x",
            ],
        ),
        ("PUT /api/v1/thresholds", vec![limits.as_str(), r#"{"maxErrorRate":0}"#, "x"]),
        ("PUT /api/v1/settings", vec![r#"{"health":{"interval":60}}"#, r#"{"wrong":1}"#, "x"]),
        ("POST /api/v1/settings/import", vec![r#"{"text":"x"}"#, r#"{"text":"unwritable"}"#, "x"]),
        ("POST /api/v1/settings/reset", vec!["", r#"{"confirm":true}"#]),
        ("POST /api/tunnel/start", vec!["", r#"{"name":"home"}"#, r#"{"name":"other"}"#, "x"]),
    ]);
    let mut described = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let method = method.to_ascii_uppercase();
            described += 1;
            if ["/ws", "/api/v1/events"].contains(&path.as_str()) {
                continue;
            }
            let path = path.replace("{name}", "docs").replace("{id}", "99");
            let contents = calls.remove(format!("{method} {path}").as_str()).unwrap_or_else(|| vec![""]);
            for content in contents {
                let answer = managed.call(&method, &path, content);
                check(&document, operation, &answer, &format!("{method} {path} {content}"));
            }
            let refused = managed.request(&method, &path, &[("Authorization", "Bearer x")], "");
            check(&document, operation, &refused, &path);
            let foreign = managed.request(&method, &path, &[("Host", "evil.example")], "");
            check(&document, operation, &foreign, &path);
        }
    }
    assert_eq!((described, calls.len()), (34, 0));
    world.end(managed);
}

fn check(document: &Value, operation: &Value, answer: &Answer, what: &str) {
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{what}: {} is not described: {answer:?}", answer.status);
    let kind = answer.field("content-type").expect("a type").split(';').next().expect("a type");
    let content = &response["content"][kind];
    assert!(content.is_object(), "{what}: {kind} is not described");
    if kind == "application/json" {
        assert_eq!(mismatch(document, &content["schema"], &answer.json(), ""), None, "{what}");
    }
}

#[test]
fn the_description_is_the_one_that_is_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = hvym_tunnel_manager::api::document();
    let text = format!("{document:#}\n");
    if std::env::var_os("HVYM_TUNNEL_KEEP_DESCRIPTION").is_some() {
        std::fs::write(&path, &text).expect("the folder takes a file");
    }
    // As values: the order of fields depends on who else uses the JSON library.
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        serde_json::from_str::<serde_json::Value>(&kept).is_ok_and(|kept| kept == document),
        "openapi.json differs: run this test with HVYM_TUNNEL_KEEP_DESCRIPTION=1, and look at the change"
    );
}

#[test]
fn metrics_are_in_prometheus_text_format() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = managed(&world, &ollama);
    let answer = managed.call("GET", "/metrics", "");
    assert!(answer.field("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    for line in answer.body.lines() {
        let is_comment = line.starts_with("# HELP ") || line.starts_with("# TYPE ");
        let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        assert!(is_comment || value.is_some(), "{line}");
    }
    for line in [
        "hvym_tunnel_link_up{link=\"home\"} 1",
        "hvym_tunnel_connection_up{connection=\"dead\"} 0",
        "hvym_tunnel_requests_total{link=\"home\",service=\"ollama\",class=\"2xx\"} 1",
        "hvym_tunnel_request_duration_seconds_count{link=\"home\",service=\"ollama\"} 1",
    ] {
        assert!(answer.body.lines().any(|known| known == line), "{line} is missing:\n{}", answer.body);
    }
    assert!(answer.body.contains("process_resident_memory_bytes "));
    world.end(managed);
}
