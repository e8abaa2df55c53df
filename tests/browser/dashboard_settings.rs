//! The settings on the dashboard of a manager that runs by a file, and what other websites can do there.

use std::path::Path;

use hvym_tunnel_tests::chromium::{Chromium, FOREIGN_HOST, Tab, files};
use hvym_tunnel_tests::managed::Managed;
use serde_json::json;

/// Clicks the button with these words.
fn click(tab: &Tab, words: &str) {
    let button = format!(
        "[...document.querySelectorAll('button')].findLast((button) => button.innerText === '{words}' && !button.disabled)"
    );
    tab.until(&format!("{button} !== undefined"));
    tab.run(&format!("{button}.click()"));
}

/// Writes `text` into the field of a setting, as a person who types.
fn write(tab: &Tab, setting: &str, text: &str) {
    tab.until(&format!("document.getElementById('setting-{setting}') !== null"));
    tab.run(&format!(
        "(() => {{
            const field = document.getElementById('setting-{setting}');
            field.value = '{text}';
            field.dispatchEvent(new Event('input', {{ bubbles: true }}));
        }})()"
    ));
}

fn says(words: &str) -> String {
    format!("document.body.innerText.includes('{words}')")
}

#[test]
fn settings_are_checked_saved_copied_and_reset_on_their_page() {
    let Some(chromium) = Chromium::shared() else { return };
    let managed = Managed::start("[health]\ninterval = 30 # slow\n");
    let before = managed.text();
    let tab = chromium.open("about:blank");
    tab.follow(&managed.url(&format!("/#token={}", managed.token)));
    tab.until(&says("Overview"));
    tab.until("!location.href.includes('token')");
    tab.run("location.hash = 'settings'");
    for section in ["Local Ollama", "Cloud Proxy", "API Server", "Monitoring", "UI & System", "Advanced"] {
        tab.until(&says(section));
    }
    tab.until(&says("HVYM_TUNNEL_API_PORT sets it to"));

    // What the schema knows is told at the field before anything is sent.
    write(&tab, "health.interval", "4");
    tab.until("document.getElementById('setting-health.interval-wrong')?.innerText === 'A whole number from 5 to 300 is needed.'");
    tab.until("document.querySelector('button[type=submit]').disabled");
    write(&tab, "health.interval", "60");
    tab.until("document.getElementById('setting-health.interval-wrong') === null");
    click(&tab, "Save");
    tab.until(&says("Saved."));
    assert_eq!(managed.text(), before.replace("interval = 30", "interval = 60"));

    // What only the parser knows, too, after.
    write(&tab, "link.0.relay", "tunnel.example:99999");
    click(&tab, "Save");
    tab.until("document.getElementById('setting-link.0.relay-wrong')?.innerText.length > 0");
    assert_eq!(managed.text(), before.replace("interval = 30", "interval = 60"), "nothing was written");
    click(&tab, "Discard");
    tab.until("document.getElementById('setting-link.0.relay-wrong') === null");

    click(&tab, "Create Backup");
    tab.until(&says("Copied to"));
    click(&tab, "Reset");
    tab.until("document.querySelector('dialog[open]') !== null");
    click(&tab, "Cancel");
    tab.until("document.querySelector('dialog') === null");
    assert!(managed.text().contains("[[link]]"), "a person may think better of it");
    click(&tab, "Reset");
    tab.until("document.querySelector('dialog[open]') !== null");
    click(&tab, "Reset");
    tab.until(&says("The defaults are back."));
    assert_eq!(managed.text(), "version = 1\n");
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn a_website_neither_reads_the_manager_nor_changes_anything() {
    let Some(chromium) = Chromium::shared() else { return };
    let managed = Managed::start("");
    let before = managed.text();
    let (port, token) = (managed.port, &managed.token);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let site = files(&[("/", &own)]);
    // Even one that has learnt the token.
    let tries = format!(
        "(async () => {{
            const at = 'http://127.0.0.1:{port}';
            const read = async (path, init) => fetch(at + path, init).then((got) => got.text(), () => '');
            const known = {{ headers: {{ Authorization: 'Bearer {token}' }} }};
            const results = [await read('/api/status'), await read('/api/health', {{ mode: 'no-cors' }}), await read('/api/v1/settings', known)];
            results.push(await read('/api/tunnel/stop', {{ method: 'POST', mode: 'no-cors' }}));
            results.push(await read('/api/v1/settings', {{ ...known, method: 'PUT', body: '{{\"health\":{{\"interval\":60}}}}' }}));
            results.push(await new Promise((tell) => {{
                const socket = new WebSocket('ws://127.0.0.1:{port}/ws', ['token-{token}']);
                socket.onmessage = () => tell('updates');
                socket.onerror = () => tell('');
            }}));
            return results;
        }})()"
    );
    let nothing = json!(["", "", "", "", "", ""]);
    for host in ["127.0.0.1", FOREIGN_HOST] {
        let website = chromium.open(&format!("http://{host}:{}/blank.html", site.port));
        assert_eq!(website.run(&tries), nothing, "{host}");
    }
    // A website that leads its name to this machine: the same origin as the manager, to the browser.
    let rebound = chromium.open(&format!("http://{FOREIGN_HOST}:{port}/"));
    let own = rebound.run(&format!(
        "Promise.all(['GET', 'POST'].map((method) =>
            fetch(method === 'GET' ? '/api/status' : '/api/tunnel/stop', {{ method, headers: {{ Authorization: 'Bearer {token}' }} }})
                .then((got) => got.status)))"
    ));
    assert_eq!(own, json!([403, 403]));
    let (status, shown) = managed.call("GET", "/api/status", "");
    assert_eq!((status, &shown["tunnel_manager"]["running"]), (200, &json!(true)), "nothing was stopped");
    assert_eq!(managed.text(), before);
}
