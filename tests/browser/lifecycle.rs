//! A tab's link: states, identity, failures, reconnection, takeover, and the relay's origin check.

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use serde_json::json;

use super::page::{Page, relay_options};

fn states(page: &Page) -> Vec<String> {
    let states = page.run("tunnel.log.filter((event) => event.kind === 'state').map((event) => event.state)");
    states
        .as_array()
        .expect("a list")
        .iter()
        .map(|state| state.as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn a_tab_connects_and_says_how_far_it_is() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    assert_eq!(states(&page), ["connecting", "authenticating", "connected"]);
    assert_eq!(page.text("tunnel.state"), "connected");
    assert_eq!(page.text("tunnel.relayAddress"), relay.address.to_string());
    let url = page.text("tunnel.url");
    let address: Address = page.text("tunnel.address").parse().expect("an address");
    let short = ShortLabel::new(&address).to_string();
    assert!(host_of(&url).starts_with(&format!("{short}.")), "{url}");
    page.block("tunnel.close(); if (tunnel.state !== 'disconnected') await next(tunnel, 'down');");
    assert_eq!(states(&page).last().map(String::as_str), Some("disconnected"));
    let refused = page.run("rejection(tunnel.serve('app', () => new Response()))");
    assert_eq!(refused["code"], "closed", "{refused}");
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_tab_is_back_by_itself_when_its_relay_is_and_serves_as_before() {
    let mut relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let url = page.text("tunnel.serve('app', () => new Response('from the tab'), { public: true })");
    for _ in 0..2 {
        page.run("window.lost = next(tunnel, 'down').then((down) => { window.back = next(tunnel, 'up'); return down; }), 0");
        relay.program.kill();
        let lost = page.run("lost.then(({ code, retryIn }) => ({ code, retryIn }))");
        assert_eq!(lost["code"], "connection_lost", "{lost}");
        assert!(lost["retryIn"].is_number(), "{lost}");
        relay = relay.restart(&[]);
        assert_eq!(page.text("back.then(({ url }) => url)"), page.text("tunnel.url"));
        relay.program.event("agent_joined");
        // The service is bound again shortly after the link is up.
        page.run("new Promise((resolve) => setTimeout(resolve))");
        let mut visitor = relay.visit();
        visitor.send(request(host_of(&url), "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = visitor.body(&head).expect("a whole answer");
        assert_eq!(String::from_utf8_lossy(&body), "from the tab", "{head:?}");
    }
    let states = states(&page);
    let reconnecting = states.iter().position(|state| state == "reconnecting").expect("it said so");
    assert_eq!(states[reconnecting + 1], "connecting");
    assert_eq!(states.last().map(String::as_str), Some("connected"));
}

#[test]
fn the_identity_of_a_tab_is_the_one_of_its_secret() {
    let key = Key::from_seed([31; 32]);
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let secret = key.secret();
    let secret = secret.trim();
    let seen = page.block(&format!(
        "const identity = await Identity.fromSecret('{secret}');
         const tunnel = await Tunnel.connect({{ {}, identity }});
         const shown = JSON.stringify(identity) + String(identity) + Object.keys(identity) + Object.entries(tunnel);
         return [identity.address, tunnel.address, identity.exportSecret(), shown];",
        relay_options(&relay),
    ));
    assert_eq!((&seen[0], &seen[1]), (&json!(key.address().to_string()), &json!(key.address().to_string())));
    assert_eq!(seen[2], secret);
    assert!(!seen[3].as_str().expect("text").contains(secret), "{seen}");
    let wrong = page
        .run("rejection(Identity.fromSecret('SNOTASECRETNOTASECRETNOTASECRETNOTASECRETNOTASECRETNOTASE'))");
    assert_eq!(wrong["code"], "bad_secret");
    assert!(!wrong.to_string().contains("SNOTASECRET"), "{wrong}");
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_connection_that_cannot_be_is_said_at_once() {
    let mut relay = Relay::start(&[]);
    let other = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let rejection = |options: String| {
        page.run(&format!("rejection(Tunnel.connect({{ {options}, identity: Identity.generate() }}))"))
    };
    let wrong = rejection(format!("relay: '{}', relayAddress: '{}'", relay.url(), other.address));
    assert_eq!((&wrong["name"], &wrong["code"]), (&json!("TunnelError"), &json!("wrong_relay")), "{wrong}");
    assert!(wrong["hint"].is_string(), "{wrong}");
    assert_eq!(rejection("relay: 'no url'".into())["code"], "bad_relay");
    assert_eq!(
        rejection(format!("relay: '{}', relayAddress: 'GNO'", relay.url()))["code"],
        "bad_relay_address"
    );
    relay.program.kill();
    assert_eq!(rejection(relay_options(&relay))["code"], "relay_unreachable");
    // The failed connections left no uncaught error and no message behind.
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_relay_that_names_origins_lets_no_other_page_in() {
    let Some(page) = Page::open() else { return };
    let own = page.text("location.origin");
    let outcome = |relay: &Relay| {
        page.run(&format!("Tunnel.connect({{ {}, identity: Identity.generate() }}).then((tunnel) => tunnel.state, (error) => error.code)", relay_options(relay)))
    };
    let strict = Relay::start(&["--allow-origin", "https://elsewhere.example"]);
    assert_eq!(outcome(&strict), "relay_unreachable");
    let open = Relay::start(&["--allow-origin", "https://elsewhere.example", "--allow-origin", &own]);
    assert_eq!(outcome(&open), "connected");
    // Agents that are not pages send no Origin.
    Agent::start(&strict, Origin::saying(b"ok").port, &[]);
    let mut stranger = strict.visit();
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OUFCQ0RFRg==",
        &format!("Origin: {own}"),
    ];
    let host = format!("localhost:{}", strict.port);
    stranger.send(request(&host, "GET", "/connect", &fields)).expect("the relay reads");
    assert_eq!(stranger.head().expect("an answer").status(), 403);
}

#[test]
fn the_newer_of_two_tabs_takes_a_service_over_and_the_older_stays_connected() {
    let key = Key::from_seed([32; 32]);
    let relay = Relay::start_in(Home::new(), 0, &[]);
    let (Some(older), Some(newer)) = (Page::open(), Page::open()) else { return };
    let script = format!(
        "window.tunnel = watch(await Tunnel.connect({{ {}, identity: Identity.fromSecret('{}') }}));",
        relay_options(&relay),
        key.secret().trim(),
    );
    for page in [&older, &newer] {
        page.block(&script);
    }
    older.block(
        "window.lost = next(tunnel, 'unbound'); await tunnel.serve('app', () => new Response('older'));",
    );
    newer.block("await tunnel.serve('app', () => new Response('newer'));");
    let lost = older.run("lost.then(({ service }) => service)");
    assert_eq!(lost, "app");
    assert_eq!(older.text("tunnel.state"), "connected");
    assert_eq!(newer.text("tunnel.state"), "connected");
}

#[test]
fn a_timer_that_fires_after_it_was_cleared_does_nothing() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    // As a runtime would that is late to clear them.
    let called = page.block(&format!(
        "const timers = [];
         const start = window.setTimeout;
         window.setTimeout = (callback, ...more) => {{ timers.push(callback); return start(callback, ...more); }};
         const tunnel = await Tunnel.connect({{ {}, identity: Identity.generate() }});
         await tunnel.serve('app', () => new Response('ok'));
         const answer = await (await tunnel.fetch(`${{tunnel.address}}/app`)).text();
         tunnel.close();
         await tunnel.closed;
         window.setTimeout = start;
         for (const callback of timers) callback();
         return [answer, timers.length > 2, tunnel.state];",
        relay_options(&relay),
    ));
    assert_eq!(called, json!(["ok", true, "disconnected"]));
    assert_eq!(page.noise(), Vec::<String>::new());
}
