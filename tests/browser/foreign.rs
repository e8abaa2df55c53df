//! A website in the browser of somebody who exposes a service without a relay of his own.

use std::path::Path;

use hvym_tunnel_tests::alone::Alone;
use hvym_tunnel_tests::chromium::{Chromium, FOREIGN_HOST, files};
use hvym_tunnel_tests::http::Origin;
use serde_json::json;

#[test]
fn a_website_neither_connects_to_the_relay_of_this_machine_nor_reads_it() {
    let Some(chromium) = Chromium::shared() else { return };
    let alone = Alone::exposing(&Origin::saying(b"private").port.to_string(), &[]);
    let port = alone.host().rsplit_once(':').map(|(_, port)| port.to_owned()).expect("a port");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let site = files(&[("/", &own)]);
    // Whether a WebSocket opens, and what a page reads.
    let tries = format!(
        "(async () => {{
            const opens = await new Promise((tell) => {{
                const socket = new WebSocket('ws://127.0.0.1:{port}/connect');
                socket.onopen = () => tell(true);
                socket.onerror = () => tell(false);
            }});
            const read = await fetch('http://127.0.0.1:{port}/info').then((got) => got.text(), () => 'nothing');
            return [opens, read.includes('server_address')];
        }})()"
    );
    let page = |host: &str| chromium.open(&format!("http://{host}:{}/blank.html", site.port));
    assert_eq!(page("127.0.0.1").run(&tries), json!([true, true]), "a page of this machine");
    let website = page(FOREIGN_HOST);
    assert_eq!(website.run("location.hostname"), FOREIGN_HOST);
    assert_eq!(website.run(&tries), json!([false, false]), "a website");
    // Whose name leads to this machine: the same origin, to the browser, as the relay.
    let rebound = chromium.open(&format!("http://{FOREIGN_HOST}:{port}/info"));
    let shown = rebound.run("document.body.innerText");
    assert!(shown.as_str().is_some_and(|text| text.contains("does not belong to this relay")), "{shown}");
}
