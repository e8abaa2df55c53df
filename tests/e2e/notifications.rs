//! What a desktop shows of a manager: a notification service on a real bus, with the manager as its client.
#![cfg(unix)]

use std::fs;
use std::process::Command;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Origin, nobody};
use hvym_tunnel_tests::installed::{packaged_python, peer_command, required_tool};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};

/// A session bus, and the notification service on it.
struct Desktop {
    _bus: Program,
    service: Program,
    address: String,
}

impl Desktop {
    /// `None` after it was said what is missing.
    fn start(home: &Home) -> Option<Self> {
        let (daemon, python) = (required_tool("dbus-daemon")?, packaged_python()?);
        let mut bus = Command::new(daemon);
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
        bus.arg(format!("--address=unix:path={}", home.path("bus").display()));
        let mut bus = Program::start(bus);
        let address = bus.line();
        let mut service = peer_command(&python, &["notifications.py"]);
        service.env("DBUS_SESSION_BUS_ADDRESS", &address);
        let mut service = Program::start(service);
        assert_eq!(service.line(), "ready");
        Some(Desktop { _bus: bus, service, address })
    }

    fn manage(&self, home: &Home, arguments: &[&str]) -> Program {
        let mut command = home.command(&[&["manager", "--json"], arguments].concat());
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        Program::start(command)
    }

    /// What is shown next.
    fn shown(&mut self) -> Value {
        serde_json::from_str(&self.service.line()).expect("JSON")
    }
}

#[test]
fn a_person_is_shown_that_a_link_is_connected_and_that_a_service_is_away() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([96; 32])));
    let Some(mut desktop) = Desktop::start(&home) else { return };
    let (bind, url) = (format!("web={}", nobody()), relay.url());
    let arguments = ["--api-port", "0", "--relay", &url, "--bind", &bind, "--check-interval", "5"];
    let mut manager = desktop.manage(&home, &arguments);
    let ready = manager.event("ready");
    let connected = desktop.shown();
    assert_eq!(
        connected,
        json!({
            "application": "hvym-tunnel", "id": 1, "replaces": 0, "icon": "hvym-tunnel",
            "summary": "relay is connected", "body": ready["url"], "actions": [],
            "hints": { "urgency": 0, "desktop-entry": "hvym-tunnel", "transient": true }, "expires": 3000,
        })
    );
    let mut alert = desktop.shown();
    while alert["summary"] != "web needs attention" {
        // Of the process itself: a busy machine.
        alert = desktop.shown();
    }
    assert_eq!((&alert["body"], &alert["expires"]), (&"it is not connected".into(), &(-1).into()));
    assert_eq!(alert["hints"], json!({ "urgency": 1, "desktop-entry": "hvym-tunnel", "transient": false }));
}

#[test]
fn nothing_is_shown_when_the_settings_say_so_and_what_comes_after_a_change_is() {
    let (relay, home, web) =
        (Relay::start(&[]), Home::of(&Key::from_seed([97; 32])), Origin::saying(b"hello"));
    let Some(mut desktop) = Desktop::start(&home) else { return };
    let port = nobody();
    let write = |shows: bool| {
        let text = format!(
            "version = 1\n[api]\nport = {port}\n[ui]\nshow_notifications = {shows}\n\
             [[link]]\nname = \"home\"\nrelay = \"{}\"\n\
             [[service]]\nname = \"web\"\ntarget = \"{}\"\nprobe = \"tcp\"\n",
            relay.url(),
            web.port
        );
        fs::write(home.path("config/hvym-tunnel/config.toml"), text).expect("the folder takes a file");
    };
    write(false);
    let mut manager = desktop.manage(&home, &[]);
    manager.event("ready");
    let mut events = home.start(&["events", "--json"]);
    write(true);
    manager.event("config_loaded");
    let ours = |verb: &str| assert_eq!(home.start(&[verb]).code(), 0, "{verb}");
    ours("stop");
    // What notices it tells the desktop too.
    loop {
        let event: Value = serde_json::from_str(&events.line()).expect("JSON");
        if event["type"] == "state" && event["state"] == "disconnected" {
            break;
        }
    }
    ours("start");
    let shown = desktop.shown();
    assert_eq!((&shown["id"], &shown["summary"]), (&1.into(), &"home is connected".into()), "{shown}");
}
