//! The dashboard of a manager in a browser.

use hvym_tunnel_tests::chromium::Chromium;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;

#[test]
fn the_dashboard_shows_how_things_stand_and_changes_them_with_the_token() {
    let Some(chromium) = Chromium::shared() else { return };
    let (relay, home, service) = (Relay::start(&[]), Home::new(), Origin::saying(b"here"));
    let (url, bind) = (relay.url(), format!("web={}", service.port));
    let mut manager = home.start(&["manager", "--json", "--api-port", "0", "--relay", &url, "--bind", &bind]);
    let api = manager.event("api");
    let public = manager.event("ready")["url"].as_str().expect("a URL").to_owned();
    let tab = chromium.open(&format!("{}/", api["url"].as_str().expect("a URL").trim_end_matches('/')));
    tab.until(&format!("document.body.innerText.includes('{public}')"));
    let button = |words: &str| {
        format!("[...document.querySelectorAll('button')].find((button) => button.innerText === '{words}')")
    };
    // Who has no token may look.
    tab.until(&format!("{}?.disabled", button("Disconnect Tunnel")));
    let token =
        std::fs::read_to_string(api["token_file"].as_str().expect("a path")).expect("a readable file");
    tab.run(&format!(
        "(() => {{
            const input = document.querySelector('.unlock input');
            input.value = '{}';
            input.dispatchEvent(new Event('input', {{ bubbles: true }}));
        }})()",
        token.trim()
    ));
    tab.until("document.querySelector('.unlock input').value !== ''");
    tab.run("document.querySelector('.unlock').requestSubmit()");
    tab.until(&format!("{}?.disabled === false", button("Disconnect Tunnel")));
    tab.run(&format!("{}.click()", button("Disconnect Tunnel")));
    tab.until(&button("Open Tunnel"));
    tab.run(&format!("{}.click()", button("Open Tunnel")));
    manager.event("ready");
    tab.until(&button("Disconnect Tunnel"));
    assert_eq!(
        tab.run("document.documentElement.outerHTML").as_str().map(|page| page.contains(token.trim())),
        Some(false)
    );
    assert_eq!(tab.noise(), Vec::<String>::new());
}
