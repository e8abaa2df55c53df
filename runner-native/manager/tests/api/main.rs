//! A manager with a relay in the same process, by its API.

mod live;
mod rules;
mod schema;
mod shapes;
mod stored;
mod world;

use hvym_tunnel_manager::client::ApiAddress;
use serde_json::json;
use world::{Ollama, World, service};

#[test]
fn a_link_is_stopped_and_started_a_hundred_times_and_leaves_nothing_behind() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = world.manage(vec![world.link("home", vec![service("web", ollama.port)])]);
    let url = managed.url("web");
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = descriptors();
    for round in 0..100 {
        let action = ["stop", "start", "restart"][round % 3];
        let answer = managed.call("POST", &format!("/api/tunnel/{action}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for _ in 0..2 {
        assert_eq!(managed.call("POST", "/api/tunnel/start", r#"{"name":"home"}"#).status, 200);
    }
    assert_eq!(managed.url("web"), url, "the address stays");
    managed.wait("the link", |status| status["links"][0]["state"] == "connected");
    assert_eq!(world.visit(&url).body, "hello");
    // Each link that was left behind would hold one at least.
    assert!(descriptors() < before + 30, "{} after {before}", descriptors());
    for _ in 0..2 {
        assert_eq!(managed.call("POST", "/api/tunnel/stop", "{}").status, 200);
    }
    let status = managed.manager.status();
    assert!(!status.tunnel_manager.running && status.links[0].address.starts_with('G'));
    assert_eq!(managed.call("POST", "/api/tunnel/stop", r#"{"name":"other"}"#).status, 404);
    // Every task yields and is dropped: the end waits for it.
    world.end(managed);
}

#[test]
fn services_come_and_go_over_the_api() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    managed.wait("the link", |status| status["links"][0]["state"] == "connected");
    let new = json!({ "name": "web", "target": format!("127.0.0.1:{}", ollama.port) }).to_string();
    assert_eq!(managed.call("POST", "/api/v1/services", &new).status, 201);
    let url = managed.url("web");
    assert_eq!(world.visit(&url).body, "hello");
    assert_eq!(managed.call("POST", "/api/v1/services", &new).status, 200);
    let listed = managed.call("GET", "/api/v1/services", "").json();
    assert_eq!(
        (&listed["services"][0]["name"], &listed["services"][0]["public"]),
        (&"web".into(), &true.into())
    );
    managed.wait("the request", |status| status["services"][0]["requests"] == 1);
    let requests = managed.call("GET", "/api/v1/requests", "").json();
    assert_eq!(
        (&requests["requests"][0]["status"], &requests["requests"][0]["path"]),
        (&200.into(), &"/".into())
    );
    assert_eq!(managed.call("DELETE", "/api/v1/services/web", "").status, 200);
    assert_eq!(managed.call("DELETE", "/api/v1/services/web", "").status, 404);
    assert_ne!(world.visit(&url).status, 200);
    let status = managed.wait("no connection", |status| status["connections"].get("web").is_none());
    assert_eq!(status["services"], json!([]));
    world.end(managed);
}

#[test]
fn a_service_is_bound_to_the_link_that_is_named() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let links = vec![world.link("home", vec![service("web", ollama.port)]), world.link("work", Vec::new())];
    let managed = world.manage(links);
    let new = |link: Option<&str>| {
        json!({ "name": "web", "target": format!("127.0.0.1:{}", ollama.port), "link": link }).to_string()
    };
    assert_eq!(managed.call("POST", "/api/v1/services", &new(None)).status, 409);
    assert_eq!(managed.call("POST", "/api/v1/services", &new(Some("other"))).status, 404);
    assert_eq!(managed.call("POST", "/api/v1/services", &new(Some("work"))).status, 201);
    let status = managed.wait("both", |status| status["connections"].get("work/web").is_some());
    assert!(status["connections"].get("web").is_some());
    assert_eq!(managed.call("DELETE", "/api/v1/services/web", "").status, 409);
    assert_eq!(managed.call("DELETE", "/api/v1/services/web?link=work", "").status, 200);
    assert_eq!(managed.call("DELETE", "/api/v1/services/web", "").status, 200);
    world.end(managed);
}

#[test]
fn a_program_of_the_same_user_needs_no_token_at_the_socket() {
    let world = World::new();
    let managed = world.manage(vec![world.link("home", Vec::new())]);
    let socket = ApiAddress::Socket(world.socket());
    let version =
        world.runtime.block_on(socket.call(http::Method::GET, "/api/version", None)).expect("an answer");
    assert_eq!(version["api_version"], "1.0");
    let stopped =
        world.runtime.block_on(socket.call(http::Method::POST, "/api/v1/drain", None)).expect("an answer");
    assert_eq!(stopped["message"], "Tunnel drained");
    world.end(managed);
    let gone = ApiAddress::Socket("/nonexistent/api.sock".into());
    let runtime = hvym_tunnel_net::runtime::Runtime::with_threads(2).expect("threads");
    assert!(runtime.block_on(gone.call(http::Method::GET, "/api/version", None)).is_err());
}

#[test]
fn a_manager_without_links_says_so() {
    let world = World::new();
    let managed = world.manage(Vec::new());
    assert_eq!(managed.call("GET", "/api/health", "").status, 200);
    for (method, path) in [("GET", "/api/status"), ("POST", "/api/tunnel/start")] {
        let answer = managed.call(method, path, "");
        assert_eq!((answer.status, &answer.json()["error"]), (503, &"Tunnel service not available".into()));
    }
    world.end(managed);
}

#[test]
fn a_link_that_cannot_start_is_said_and_the_others_run() {
    let world = World::new();
    let mut broken = world.link("broken", Vec::new());
    broken.link.relay_ca = Some("/nonexistent/ca.pem".into());
    let managed = world.manage(vec![broken, world.link("home", Vec::new())]);
    let status = managed.wait("one of both", |status| {
        status["links"][0]["state"] == "error" && status["links"][1]["state"] == "connected"
    });
    assert!(
        status["links"][0]["last_error"].as_str().is_some_and(|error| error.contains("ca.pem")),
        "{status:#}"
    );
    let failed = managed.call("POST", "/api/tunnel/start", r#"{"name":"broken"}"#);
    assert_eq!((failed.status, &failed.json()["error"]), (500, &"Internal server error".into()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while managed.call("GET", "/api/health", "").json()["status"] != "degraded" {
        assert!(std::time::Instant::now() < deadline, "{:?}", managed.call("GET", "/api/health", ""));
    }
    world.end(managed);
}

#[test]
fn links_come_and_go_and_the_others_do_not_notice() {
    let (world, ollama) = (World::new(), Ollama::start(0));
    let managed = world.manage(vec![world.link("home", vec![service("web", ollama.port)])]);
    let url = managed.url("web");
    managed.manager.add_link(world.link("work", vec![service("api", ollama.port)])).expect("a new name");
    assert!(managed.manager.add_link(world.link("work", Vec::new())).is_err());
    let other = managed.url("api");
    assert_eq!(world.visit(&other).body, "hello");
    world
        .runtime
        .block_on(managed.manager.remove_link("work", std::time::Duration::ZERO))
        .expect("it is there");
    assert_ne!(world.visit(&other).status, 200);
    managed.wait("one connection less", |status| status["connections"].get("work").is_none());
    let status = managed.manager.status();
    assert_eq!((status.links.len(), status.services.len()), (1, 1));
    assert_eq!(status.links[0].attempts, 0, "it was never lost");
    assert_eq!(world.visit(&url).body, "hello");
    world.end(managed);
}
