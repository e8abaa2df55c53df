//! One tunnel for several tabs, and a tunnel that is opened again.

use std::path::Path;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::{Chromium, Tab, files};
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use serde_json::json;

use super::page::{Page, package, relay_options};

/// Tabs of one origin, with the package loaded; `None` without a browser.
fn tabs<const N: usize>() -> Option<([Tab; N], Origin)> {
    let chromium = Chromium::shared()?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let site = files(&[("/package/", package()), ("/", &own)]);
    let url = format!("http://127.0.0.1:{}/index.html", site.port);
    let tabs = std::array::from_fn(|_| {
        let tab = chromium.open(&url);
        assert_eq!(tab.run("window.ready"), true, "{:?}", tab.noise());
        tab
    });
    Some((tabs, site))
}

fn visit(url: &str) -> String {
    let host = host_of(url);
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut visitor = Conversation::dial(port);
    visitor.send(request(host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    String::from_utf8(visitor.body(&head).expect("a body")).expect("text")
}

#[test]
fn a_tunnel_that_has_ended_is_opened_again_with_its_services() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let url = page.text("tunnel.serve('web', () => new Response('again'))");
    let seen = page.block(
        "await tunnel.close();
         const closed = await rejection(tunnel.fetch(tunnel.address + '/web'));
         await tunnel.reopen();
         return [closed.code, tunnel.state];",
    );
    assert_eq!(seen, json!(["closed", "connected"]));
    assert_eq!(visit(&url), "again");
}

#[test]
fn tabs_share_one_tunnel_which_ends_with_the_last_of_them() {
    let relay = Relay::start(&[]);
    let Some(([one, two], _site)) = tabs::<2>() else { return };
    let address = one.run("Identity.persistent().then(({ address }) => address)");
    let address = address.as_str().expect("an address");
    let service = Origin::saying(b"private");
    let owner = Key::from_seed([82; 32]);
    let arguments = ["--service", "app", "--private", "--allow", address];
    let _agent = Agent::start_in(Home::of(&owner), &relay, service.port, &arguments);
    for tab in [&one, &two] {
        tab.block(&format!(
            "window.tunnel = await Tunnel.shared({{ {}, identity: Identity.persistent() }});",
            relay_options(&relay)
        ));
        let seen = tab.block(&format!(
            "const response = await tunnel.fetch('{0}/app', '/');
             const streams = await tunnel.connectStream('{0}/app');
             await streams.writable.abort();
             const none = await rejection(tunnel.fetch('{0}/none'));
             const signal = AbortSignal.abort(new TypeError('enough'));
             const aborted = await rejection(tunnel.fetch('{0}/app', '/', {{ signal }}));
             return [await response.text(), tunnel.state, tunnel.address, none.code, none.name, aborted.message];",
            owner.address()
        ));
        assert_eq!(seen, json!(["private", "connected", address, "not_reachable", "TunnelError", "enough"]));
    }
    let url = one.run(
        "tunnel.serve('web', async (request) => new Response(`${request.method} ${await request.text()}!`))",
    );
    let url = url.as_str().expect("a URL");
    assert_eq!(visit(url), "GET !");
    two.run("tunnel.addEventListener('state', ({ detail }) => { window.last = detail.state; }), 0");
    one.block(
        "window.begun = new Promise((resolve) => { window.begin = resolve; });
         await tunnel.serve('endless', () => { begin(); return new Response(new ReadableStream()); });",
    );
    let unanswered = two.begin_block(&format!(
        "const response = await tunnel.fetch('{address}/endless');
         return [response.status, (await rejection(response.text())).unexpected === undefined];"
    ));
    one.run("begun.then(() => 0)");
    drop(one);
    // What it had begun to answer ends with it.
    assert_eq!(unanswered.value(), json!([200, true]));
    // What it served is not the other's.
    let gone = two.block(&format!(
        "for (;;) {{
             const {{ code }} = await rejection(tunnel.fetch('{address}/web'));
             if (code === 'not_reachable') return [tunnel.state, window.last];
         }}"
    ));
    assert_eq!(gone, json!(["connected", null]));
    let closed = two.block("await tunnel.close(); return rejection(tunnel.fetch(tunnel.address + '/web'));");
    assert_eq!(closed["code"], "closed", "{closed}");
}

#[test]
fn a_shared_tunnel_takes_a_key_that_the_browser_keeps() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let refused = page.run(&format!(
        "rejection(Tunnel.shared({{ {}, identity: Identity.generate() }}))",
        relay_options(&relay)
    ));
    assert_eq!(refused["name"], "TypeError", "{refused}");
}
