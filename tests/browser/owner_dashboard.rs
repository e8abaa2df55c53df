//! The dashboard of an agent behind NAT in a browser that has nothing installed: by the relay, for its owner alone.

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::Chromium;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::json;

use super::bridge::install_freighter;

#[test]
fn an_owner_opens_the_dashboard_of_an_agent_through_the_relay_and_a_stranger_does_not() {
    let Some(chromium) = Chromium::shared() else { return };
    let owner = Key::from_seed([36; 32]);
    let (relay, home, service) = (Relay::start(&[]), Home::of(&owner), Origin::saying(b"here"));
    let (url, bind) = (relay.url(), format!("web={}", service.port));
    let mut manager = home.start(&[
        "manager",
        "--json",
        "--api-port",
        "0",
        "--api-remote",
        "--relay",
        &url,
        "--bind",
        &bind,
    ]);
    let api = manager.event("api");
    let public = manager.event("ready")["url"].as_str().expect("a URL").to_owned();
    let token = std::fs::read_to_string(api["token_file"].as_str().expect("a path")).expect("a token");
    let page = format!("http://manager--{}.localhost:{}/", ShortLabel::new(&owner.address()), relay.port);

    let tab = chromium.open(&page);
    tab.until("!document.getElementById('choices').hidden");
    tab.run("document.getElementById('browser').click(), 0");
    tab.until("!document.getElementById('refused').hidden");
    assert_eq!(tab.run("fetch('/api/status').then((got) => got.status)"), 404, "a stranger");

    install_freighter(&tab, &owner);
    tab.run("document.getElementById('wallet').click(), 0");
    tab.until(&format!("document.body.innerText.includes('{public}')"));
    // What needs the token on the machine itself is there without it.
    tab.until("document.querySelectorAll('.chart canvas').length === 4");
    let button = |words: &str| {
        format!(
            "[...document.querySelectorAll('button')].find((button) => button.innerText === '{words}' && !button.disabled)"
        )
    };
    tab.until(&format!("{} !== undefined", button("Health Check")));
    tab.run(&format!("{}.click()", button("Health Check")));
    let seen = tab.block(
        "const status = async (method, path) => (await fetch(path, { method })).status;
         const socket = new WebSocket(`ws://${location.host}/ws`);
         const update = await new Promise((resolve) => { socket.onmessage = ({ data }) => resolve(JSON.parse(data).type); });
         socket.close();
         return [
             document.querySelector('.unlock'), document.querySelector('.bar.notice'), update,
             await status('GET', '/api/v1/settings'), await status('PUT', '/api/v1/settings'), await status('POST', '/api/tunnel/stop'),
         ];",
    );
    assert_eq!(seen, json!([null, null, "status_update", 403, 403, 403]));
    assert_eq!(tab.run(&format!("{} === undefined", button("Disconnect Tunnel"))), true);
    tab.run("location.hash = 'settings'");
    tab.until("document.body.innerText.includes('on the machine of the agent alone')");
    let shown = tab
        .run("document.documentElement.outerHTML + JSON.stringify({ ...sessionStorage, ...localStorage })");
    assert!(!shown.as_str().expect("text").contains(token.trim()), "the token has left the machine");
}
