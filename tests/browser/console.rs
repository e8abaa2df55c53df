//! The console of a relay in a browser: signing in, its pages, what it changes, and pages of others.

use std::path::Path;
use std::sync::Arc;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::{Chromium, Tab, files};
use hvym_tunnel_tests::guests::write_private;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use serde_json::{Value, json};

const KEY: &str = "a key that nobody guesses";

/// A relay whose operator has a key, and a database of tunnels.
fn relay(arguments: &[&str]) -> Relay {
    let home = Home::new();
    let key = write_private(&home, "key", KEY);
    let config = write_private(&home, "relay.toml", "[tunely]\n");
    Relay::start_in(home, 0, &[&["--admin-key-file", &key, "--config", &config], arguments].concat())
}

fn console(chromium: &Arc<Chromium>, relay: &Relay) -> Tab {
    let tab = chromium.open("about:blank");
    tab.screen(1280, 900, false);
    tab.follow(&format!("http://localhost:{}/console/", relay.port));
    tab
}

fn says(words: &str) -> String {
    format!("document.body.innerText.includes({words:?})")
}

/// Writes into the field that a selector finds, as a person who types.
fn write(tab: &Tab, field: &str, text: &str) {
    tab.until(&format!("document.querySelector({field:?}) !== null"));
    tab.run(&format!(
        "(() => {{
            const field = document.querySelector({field:?});
            field.value = {text:?};
            field.dispatchEvent(new Event('input', {{ bubbles: true }}));
        }})()"
    ));
}

/// Clicks the last button with these words, which is that of a dialog if there is one.
fn click(tab: &Tab, words: &str) {
    let button = format!(
        "[...document.querySelectorAll('button')].findLast((button) => button.innerText === '{words}' && !button.disabled)"
    );
    tab.until(&format!("{button} !== undefined"));
    tab.run(&format!("{button}.click()"));
}

/// Clicks the button with these words in the dialog that is about to open, and waits until it has closed.
fn confirm(tab: &Tab, words: &str) {
    tab.until("document.querySelector('dialog[open]') !== null");
    click(tab, words);
    tab.until("document.querySelector('dialog') === null");
}

fn sign_in(tab: &Tab, key: &str) {
    write(tab, "input[name=key]", key);
    click(tab, "Sign in");
}

#[test]
fn an_operator_signs_in_by_key_ends_sessions_and_bans_and_signs_out() {
    let Some(chromium) = Chromium::shared() else { return };
    let relay = relay(&[]);
    let mut agent = Agent::start(&relay, Origin::echo().port, &["--service", "web"]);
    let address = agent.ready["address"].as_str().expect("an address").to_owned();
    let tab = console(&chromium, &relay);
    sign_in(&tab, "a key that is another");
    tab.until(&says("this is not the operator's key"));
    sign_in(&tab, KEY);
    tab.until("document.querySelector('.tiles dd') !== null");
    tab.until(&says("1 sessions"));
    assert_eq!(tab.run("document.cookie"), "", "no script sees the session");
    assert_eq!(tab.run("Object.keys(localStorage).length + Object.keys(sessionStorage).length"), 0);
    tab.run("location.hash = 'agents'");
    tab.until("document.querySelector('details.agent') !== null");
    tab.run("document.querySelector('details.agent').open = true");
    tab.until(&says(&address));
    tab.until(&says(&format!("web--{}", agent.host())));
    click(&tab, "Ban");
    confirm(&tab, "Cancel");
    click(&tab, "Ban");
    write(&tab, "dialog .question-field:nth-of-type(3) input", "spam");
    confirm(&tab, "Ban");
    assert_eq!(agent.program.code(), 4, "it is told, and does not come again");
    tab.run("location.hash = 'bans'");
    tab.until(&says(&address));
    tab.until(&says("spam"));
    click(&tab, "Lift");
    confirm(&tab, "Lift");
    tab.until(&says("Nobody is banned."));
    tab.run("location.hash = 'agents'");
    tab.until(&says("No agent is connected."));
    tab.run("location.hash = 'audit'");
    tab.until(&says("wrong key"));
    tab.until(&says("unbanned"));
    tab.run("location.hash = 'limits'");
    tab.until("document.querySelector('meter') !== null");
    tab.until("document.querySelector('details.group') !== null");
    tab.run("[...document.querySelectorAll('details.group')].forEach((group) => { group.open = true; })");
    tab.until(&says("admin_key_file"));
    assert_eq!(
        tab.run(&format!("document.documentElement.outerHTML.includes({KEY:?})")),
        false,
        "no secret is shown"
    );
    click(&tab, "Sign out");
    tab.until("document.querySelector('input[name=key]') !== null");
    assert_eq!(tab.run("fetch('/console/api/v1/status').then((got) => got.status)"), 401);
    // One refused key, and one question without a session.
    let noise = tab.noise();
    assert!(noise.iter().all(|line| line.contains("401")), "{noise:?}");
}

#[test]
fn an_open_page_shows_what_changes_without_asking() {
    let Some(chromium) = Chromium::shared() else { return };
    let relay = relay(&[]);
    let tab = console(&chromium, &relay);
    tab.until("document.querySelector('input[name=key]') !== null");
    // By this it would ask now and then.
    tab.run("(window.setInterval = () => 0, true)");
    sign_in(&tab, KEY);
    tab.until(&says("0 sessions"));
    tab.run("location.hash = 'agents'");
    tab.until(&says("No agent is connected."));
    let agent = Agent::start(&relay, Origin::echo().port, &["--service", "web"]);
    tab.until("document.querySelector('details.agent') !== null");
    tab.run("location.hash = ''");
    tab.until(&says("1 sessions"));
    drop(agent);
    tab.until(&says("0 sessions"));
}

#[test]
fn tunnels_are_created_changed_and_deleted_and_a_token_is_shown_once() {
    let Some(chromium) = Chromium::shared() else { return };
    let relay = relay(&[]);
    let tab = console(&chromium, &relay);
    sign_in(&tab, KEY);
    tab.until("document.querySelector('.tiles dd') !== null");
    tab.run("location.hash = 'tunnels'");
    tab.until(&says("None yet."));
    click(&tab, "Create");
    write(&tab, "dialog input.mono", "-no-");
    tab.until(&says("Invalid domain format"));
    write(&tab, "dialog input.mono", "App");
    tab.until(&says("It is free."));
    click(&tab, "Create");
    tab.until("document.querySelector('.secret code')?.innerText.startsWith('tun_') === true");
    let token = tab.run("document.querySelector('.secret code').innerText");
    confirm(&tab, "Close");
    tab.until(&says("never connected"));
    let shown = tab.run("document.documentElement.outerHTML");
    assert!(!shown.as_str().expect("text").contains(token.as_str().expect("text")), "it was shown once");
    click(&tab, "New token");
    click(&tab, "Make one");
    tab.until("document.querySelector('.secret code')?.innerText.startsWith('tun_') === true");
    assert_ne!(tab.run("document.querySelector('.secret code').innerText"), token);
    confirm(&tab, "Close");
    click(&tab, "Edit");
    write(&tab, "dialog textarea", "of the second floor");
    confirm(&tab, "Save");
    tab.until(&says("of the second floor"));
    click(&tab, "Disable");
    confirm(&tab, "Disable");
    tab.until(&says("disabled"));
    click(&tab, "Enable");
    tab.until(&says("offline"));
    tab.run("location.hash = 'requests/app'");
    tab.until(&says("None are logged."));
    tab.run("location.hash = 'tunnels'");
    click(&tab, "Delete");
    tab.until(&says("Delete app?"));
    confirm(&tab, "Cancel");
    click(&tab, "Delete");
    confirm(&tab, "Delete");
    tab.until(&says("None yet."));
    tab.run("location.hash = 'audit'");
    tab.until(&says("Changes of tunnels"));
    tab.until(&says("regenerate"));
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn a_neighbour_below_the_domain_changes_nothing_in_the_operators_browser() {
    let Some(chromium) = Chromium::shared() else { return };
    let relay = relay(&[]);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let site = files(&[("/", &own)]);
    let agent = Agent::start(&relay, site.port, &["--service", "web"]);
    let tab = console(&chromium, &relay);
    sign_in(&tab, KEY);
    tab.until("document.querySelector('.tiles dd') !== null");
    // A page of somebody who has a name below the domain, and one of another site: the browser sends the first one's requests
    // with whatever is for the site.
    let tries = format!(
        "(async () => {{
            const at = 'http://localhost:{}/console';
            const tell = (path, init) => fetch(at + path, {{ credentials: 'include', ...init }}).then((got) => got.text(), () => '');
            const ban = {{ method: 'POST', body: JSON.stringify({{ subject: '192.0.2.1' }}) }};
            const seen = [await tell('/api/session'), await tell('/api/v1/status')];
            seen.push(await tell('/api/v1/bans', ban), await tell('/api/v1/bans', {{ ...ban, mode: 'no-cors' }}));
            seen.push(await tell('/api/session', {{ method: 'DELETE' }}));
            const frame = document.createElement('iframe');
            frame.src = at + '/';
            document.body.append(frame);
            await new Promise((resolve) => {{ frame.onload = resolve; }});
            let framed = '';
            try {{ framed = frame.contentDocument.body.innerText; }} catch {{ }}
            return [...seen, framed];
        }})()",
        relay.port
    );
    let neighbour = format!("http://{}/blank.html", agent.host());
    for page in [neighbour, format!("http://127.0.0.1:{}/blank.html", site.port)] {
        let tab = chromium.open(&page);
        assert_eq!(tab.run(&tries), json!(["", "", "", "", "", ""]), "{page}");
    }
    let bans = "fetch('/console/api/v1/bans').then((got) => got.json())";
    assert_eq!(tab.run(bans), json!({ "bans": [] }), "nothing was done, and the operator is still signed in");
}

/// Gives the page a wallet, as Freighter is for pages, with the key of this seed.
fn give_wallet(tab: &Tab, key: &Key, seed: u8) {
    let seed = [seed; 32];
    tab.block(&format!(
        "const pkcs8 = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20, ...{seed:?}]);
         const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign']);
         window.signed = [];
         addEventListener('message', async ({{ data }}) => {{
             if (data?.source !== 'FREIGHTER_EXTERNAL_MSG_REQUEST') return;
             const answers = {{
                 REQUEST_CONNECTION_STATUS: () => ({{ isConnected: true }}),
                 REQUEST_ACCESS: () => ({{ publicKey: '{}' }}),
                 async SUBMIT_BLOB() {{
                     const text = new TextEncoder().encode('Stellar Signed Message:\\n' + data.blob);
                     const hash = await crypto.subtle.digest('SHA-256', text);
                     const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', key, hash));
                     window.signed.push(data.blob);
                     return {{ signedBlob: btoa(String.fromCharCode(...signature)), signerAddress: data.accountToSign }};
                 }},
             }};
             const answer = await answers[data.type]();
             postMessage({{ source: 'FREIGHTER_EXTERNAL_MSG_RESPONSE', messagedId: data.messageId, ...answer }}, location.origin);
         }});",
        key.address()
    ));
}

#[test]
fn an_operator_signs_in_with_a_wallet_that_shows_what_it_signs() {
    let Some(chromium) = Chromium::shared() else { return };
    let operator = Key::from_seed([33; 32]);
    let relay = Relay::start(&["--operator", &operator.address().to_string()]);
    let tab = console(&chromium, &relay);
    tab.until("document.querySelector('input[name=key]') !== null");
    give_wallet(&tab, &operator, 33);
    click(&tab, "Sign in with Freighter");
    tab.until("document.querySelector('.tiles dd') !== null");
    let signed = tab.run("signed");
    let text = signed[0].as_str().expect("one text");
    assert!(text.contains(&format!("http://localhost:{}/console/", relay.port)), "{text}");
    assert_eq!(signed.as_array().map(Vec::len), Some(1));
    tab.until(&says(&operator.address().to_string()[..6]));
    assert_eq!(
        tab.run("fetch('/console/api/session').then((got) => got.json())")["by_key"],
        Value::Bool(false)
    );
}

#[test]
fn an_owner_signs_in_with_a_wallet_and_sees_its_own_agent_and_requests_alone() {
    let Some(chromium) = Chromium::shared() else { return };
    let relay = relay(&[]);
    let key = Key::from_seed([34; 32]);
    let origin = Origin::saying(b"here");
    let agent = Agent::start_in(Home::of(&key), &relay, origin.port, &["--service", "web"]);
    let other = Agent::start(&relay, origin.port, &["--service", "hidden"]);
    for (host, path) in [(agent.host(), "/mine"), (other.host(), "/theirs")] {
        let mut visitor = relay.visit();
        visitor.send(request(host, "GET", path, &["Connection: close"])).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), 200);
    }
    let tab = console(&chromium, &relay);
    tab.until("document.querySelector('input[name=key]') !== null");
    give_wallet(&tab, &key, 34);
    click(&tab, "Sign in with Freighter");
    tab.until("document.querySelectorAll('details.agent').length === 1");
    tab.run("document.querySelector('details.agent').open = true");
    tab.until(&says(&key.address().to_string()));
    let buttons = "[...document.querySelectorAll('button')].map((button) => button.innerText).join()";
    let shown = tab.run(buttons);
    assert!(
        !["Kick", "Ban", "End"].iter().any(|word| shown.as_str().expect("text").contains(word)),
        "{shown}"
    );
    tab.run("location.hash = 'requests'");
    tab.until(&says("/mine"));
    tab.run("location.hash = 'bans'");
    tab.until("document.querySelectorAll('details.agent').length === 1");
    for hidden in ["/theirs", "hidden"] {
        assert_eq!(tab.run(&says(hidden)), false, "{hidden}");
    }
    assert_eq!(tab.run("fetch('/console/api/v1/status').then((got) => got.status)"), 403);
    click(&tab, "Sign out");
    tab.until("document.querySelector('input[name=key]') !== null");
}
