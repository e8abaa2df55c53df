//! A private application in a browser that has nothing installed: from the relay's page for its host name, by a bridge.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::Tab;
use hvym_tunnel_tests::http::{Conversation, Origin, answer};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::request;
use serde_json::{Value, json};

use super::page::package;
use super::private::{Private, nobody};

#[test]
fn a_share_link_opens_a_private_application_with_one_click() {
    let Some(private) = Private::start(71, nobody()) else { return };
    let tab = private.opened();
    let host = private.host("app");
    let seen = tab.block(
        "const mirror = async (path, init) => (await fetch(path, init)).json();
         const read = await mirror('/mirror?a=b c');
         const written = await mirror('/mirror', { method: 'PUT', body: 'text' });
         const slashes = await mirror(location.origin + '//a//b?c', { method: 'POST' });
         const away = await fetch('/away');
         const part = await fetch('/file', { headers: { range: 'bytes=10-19' } });
         return {
             href: location.href, mode, first, now: document.cookie,
             read, written, slashes: slashes.target, away: [away.redirected, (await away.json()).target],
             part: [part.status, part.headers.get('content-range'), (await part.arrayBuffer()).byteLength],
         };",
    );
    assert_eq!(seen["href"], format!("http://{host}/"), "the key stays in the address: {seen}");
    assert_eq!(seen["mode"], "CSS1Compat", "the page is laid out in another way");
    assert_eq!((&seen["first"], &seen["now"]), (&json!("_xsrf=token"), &json!("_xsrf=token")));
    let (read, written) = (&seen["read"], &seen["written"]);
    assert_eq!(read["target"], "/mirror?a=b%20c");
    assert_eq!(read["fields"]["cookie"], "session=secret; _xsrf=token", "{read}");
    assert_eq!(read["fields"]["host"], host.as_str());
    assert_eq!(read["fields"]["referer"], format!("http://{host}/").as_str());
    assert_eq!((&written["method"], &written["body"]), (&json!("PUT"), &json!("text")), "{written}");
    assert_eq!(written["fields"]["origin"], format!("http://{host}").as_str());
    assert_eq!(written["fields"]["content-length"], "4");
    // Python makes one slash of the first two.
    assert!(seen["slashes"].as_str().is_some_and(|target| target.ends_with("/a//b?c")), "{seen}");
    assert_eq!(seen["away"], json!([true, "/mirror?redirected"]));
    assert_eq!(seen["part"], json!([206, "bytes 10-19/1048576", 10]));
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn sockets_events_and_uploads_pass_through_a_bridge() {
    let Some(private) = Private::start(74, nobody()) else { return };
    let tab = private.opened();
    let seen = tab.block(
        "const events = new EventSource('/events');
         const heard = [];
         await new Promise((resolve) => {
             events.onmessage = ({ data, lastEventId }) => { heard.push(data, lastEventId); if (data === 'two') resolve(); };
         });
         events.close();
         class Mine extends WebSocket {}
         const socket = new Mine(`ws://${location.host}/socket?x`, ['other', 'echo']);
         socket.binaryType = 'arraybuffer';
         const early = (() => { try { socket.send('early'); } catch ({ name }) { return name; } })();
         const messages = [];
         const message = () => new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(data), { once: true }));
         const head = JSON.parse(await message());
         const echo = async (data) => { const back = message(); socket.send(data); return back; };
         const text = await echo('h\\u00e9');
         const large = new Uint8Array(300_000).map((_, at) => at * 7);
         const bytes = new Uint8Array(await echo(large));
         const same = bytes.length === large.length && bytes.every((byte, at) => byte === large[at]);
         const middle = [...new Uint8Array(await echo(large.subarray(3, 6)))];
         const ended = new Promise((resolve) => { socket.onclose = ({ code, reason, wasClean }) => resolve([code, reason, wasClean]); });
         const open = [socket instanceof WebSocket, socket instanceof Mine, socket.readyState, WebSocket.OPEN, socket.protocol, socket.url];
         socket.close(3001, 'enough');
         const refused = new WebSocket('/mirror');
         const failed = await new Promise((resolve) => { refused.onclose = ({ code, wasClean }) => resolve([code, wasClean]); });
         const digest = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
         const body = new Uint8Array(9 * 1024 * 1024).map((_, at) => at >> 8);
         const upload = await (await fetch('/upload', { method: 'POST', body })).json();
         return {
             heard, head, early, text, same, middle, open, ended: await ended, failed,
             upload: [upload.bytes, upload.sha256 === await digest(body)],
         };",
    );
    let host = private.host("app");
    assert_eq!(seen["heard"], json!(["one", "1", "two", "2"]));
    let head = &seen["head"];
    assert_eq!(head["cookie"], "session=secret; _xsrf=token", "{head}");
    assert_eq!((&head["host"], &head["origin"]), (&json!(host), &json!(format!("http://{host}"))));
    assert_eq!(
        (&seen["early"], &seen["text"], &seen["same"]),
        (&json!("InvalidStateError"), &json!("hé"), &json!(true))
    );
    assert_eq!(seen["middle"], json!([21, 28, 35]));
    assert_eq!(seen["open"], json!([true, true, 1, 1, "echo", format!("ws://{host}/socket?x")]));
    assert_eq!((&seen["ended"], &seen["failed"]), (&json!([3001, "enough", true]), &json!([1006, false])));
    assert_eq!(seen["upload"], json!([9 * 1024 * 1024, true]));
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn an_open_application_survives_its_relay_and_pages_come_and_go() {
    let Some(mut private) = Private::start(75, nobody()) else { return };
    let tab = private.opened();
    private.relay = private.relay.restart(&[]);
    // Its agent comes back later than this browser, or sooner.
    let seen = tab.run("fetch('/mirror').then((response) => response.json())");
    assert_eq!(seen["fields"]["cookie"], "session=secret; _xsrf=token");
    tab.run("document.getElementById('away').click(), 0");
    tab.until("location.pathname === '/mirror' && document.body.textContent.includes('redirected')");
    let home = format!("http://{}/", private.host("app"));
    tab.go(&home);
    tab.until("document.title === 'application'");
    tab.run("document.cookie = 'mine=1; Path=/', 0");
    let seen = tab.run("fetch('/mirror').then((response) => response.json())");
    assert_eq!(seen["fields"]["cookie"], "session=secret; _xsrf=token; mine=1");
    let other = private.chromium.open(&home);
    other.until("document.title === 'application'");
    assert_eq!(other.run("first"), "_xsrf=token; mine=1");
}

#[test]
fn a_key_of_the_browser_opens_an_application_once_its_owner_lets_it_in() {
    let Some(mut private) = Private::start(77, nobody()) else { return };
    let tab = private.chromium.open(&format!("http://{}/", private.host("app")));
    tab.until("!document.getElementById('choices').hidden");
    tab.run("document.getElementById('browser').click(), 0");
    tab.until("!document.getElementById('refused').hidden");
    let address = tab.run("document.getElementById('address').textContent");
    assert_eq!(tab.run("navigator.serviceWorker.controller"), Value::Null);
    private.let_in(address.as_str().expect("text"));
    tab.run("document.getElementById('browser').click(), 0");
    tab.until("document.title === 'application'");
    // And out again.
    tab.go(&format!("http://{}/.hvym-tunnel/", private.host("app")));
    tab.until("!document.getElementById('forget').hidden");
    tab.run("document.getElementById('forget').click(), 0");
    tab.until("location.pathname === '/' && document.getElementById('choices')?.hidden === false");
    let left = tab.block(
        "const databases = await new Promise((resolve) => {
             indexedDB.open('hvym-tunnel').onsuccess = ({ target }) => {
                 const transaction = target.result.transaction(['identities', 'bridge']);
                 const stores = ['identities', 'bridge'].map((name) => transaction.objectStore(name).count());
                 transaction.oncomplete = () => { target.result.close(); resolve(stores.map(({ result }) => result)); };
             };
         });
         return [databases, (await navigator.serviceWorker.getRegistrations()).length];",
    );
    assert_eq!(left, json!([[0, 0], 0]), "something is left");
}

/// The extension of Freighter in a page of the relay, for the account of `owner`: it answers the messages of its interface.
pub(crate) fn install_freighter(tab: &Tab, owner: &Key) {
    let secret = owner.secret();
    tab.block(&format!(
        "const {{ Identity }} = await import('/.hvym-tunnel/identity.js'); await import('/.hvym-tunnel/page.js');
         const key = await Identity.fromSecret('{secret}');
         window.signed = [];
         addEventListener('message', async ({{ data }}) => {{
             if (data?.source !== 'FREIGHTER_EXTERNAL_MSG_REQUEST') return;
             const answers = {{
                 REQUEST_CONNECTION_STATUS: () => ({{ isConnected: true }}),
                 REQUEST_ACCESS: () => ({{ publicKey: key.address }}),
                 async SUBMIT_BLOB() {{
                     const text = new TextEncoder().encode('Stellar Signed Message:\\n' + data.blob);
                     const signature = await key.sign(new Uint8Array(await crypto.subtle.digest('SHA-256', text)));
                     window.signed.push(data.blob);
                     return {{ signedBlob: btoa(String.fromCharCode(...signature)), signerAddress: data.accountToSign }};
                 }},
             }};
             const answer = await answers[data.type]();
             postMessage({{ source: 'FREIGHTER_EXTERNAL_MSG_RESPONSE', messagedId: data.messageId, ...answer }}, location.origin);
         }});"
    ));
}

#[test]
fn a_friend_opens_an_application_with_a_wallet_and_the_key_is_good_for_nothing_else() {
    let friend = Key::from_seed([78; 32]);
    let Some(private) = Private::start(79, friend.address()) else { return };
    let tab = private.chromium.open("about:blank");
    tab.go(&format!("http://{}/", private.host("app")));
    install_freighter(&tab, &friend);
    tab.run("document.getElementById('wallet').click(), 0");
    tab.until("document.title === 'application'");
    let services = format!("{}/other", private.owner.address());
    // What a hostile application could do with the key that lies beside it, in a page that allows it everything.
    tab.go(&format!("http://{}/mirror", private.host("app")));
    let stolen = tab.block(&format!(
        "const {{ identityNamed }} = await import('/.hvym-tunnel/identity.js'); await import('/.hvym-tunnel/page.js');
         const {{ Tunnel }} = await import('/.hvym-tunnel/tunnel.js');
         const [name] = await new Promise((resolve) => {{
             indexedDB.open('hvym-tunnel').onsuccess = ({{ target }}) => {{
                 const all = target.result.transaction('identities').objectStore('identities').getAllKeys();
                 all.onsuccess = () => resolve(all.result);
             }};
         }});
         const identity = await identityNamed(name);
         const code = (promise) => promise.then(() => 'done', ({{ code, name }}) => code ?? name);
         const tunnel = await Tunnel.connect({{ relay: 'ws://localhost:{}', identity }});
         return [
             await code(tunnel.fetch('{services}')),
             await code(tunnel.fetch('{}/app')),
             await code(tunnel.serve('app', () => new Response(''))),
             await code((async () => identity.exportSecret())()),
         ];",
        private.relay.port,
        friend.address(),
    ));
    assert_eq!(stolen[0], "delegation_service", "{stolen}");
    assert_eq!(stolen[1], "delegation_service", "{stolen}");
    assert_ne!(stolen[2], "done", "{stolen}");
    assert_eq!(stolen[3], "not_extractable", "{stolen}");
}

#[test]
fn an_application_takes_no_origin_but_its_own() {
    let Some(private) = Private::start(80, nobody()) else { return };
    let tab = private.opened();
    // A page of its without a policy of its own.
    tab.go(&format!("http://{}/mirror", private.host("app")));
    let seen = tab.block(&format!(
        "const outcome = (promise) => promise.then(() => 'done', ({{ name }}) => name);
         const script = new Blob(['self.onfetch = () => {{}}'], {{ type: 'text/javascript' }});
         const workers = navigator.serviceWorker;
         const before = workers.controller.scriptURL;
         const outcomes = [
             await outcome(workers.register('/app.js')),
             await outcome(workers.register(URL.createObjectURL(script))),
             await outcome(fetch('http://{}/')),
         ];
         const own = await fetch('/.hvym-tunnel/bridge-worker.js');
         return [outcomes, workers.controller.scriptURL === before, own.headers.get('service-worker-allowed'),
             (await (await fetch('/mirror')).json()).fields.cookie.includes('session')];",
        private.host("other"),
    ));
    let outcomes = seen[0].as_array().expect("a list");
    assert!(!outcomes.contains(&json!("done")), "{seen}");
    assert_eq!(seen.as_array().expect("a list")[1..], [json!(true), json!("/"), json!(true)], "{seen}");
    // Nor is it framed by others, or the page that asks for keys by anybody.
    let frame = tab.block(
        "const frame = document.createElement('iframe');
         frame.src = '/.hvym-tunnel/';
         const loaded = new Promise((resolve) => { frame.onload = resolve; });
         document.body.append(frame);
         await loaded;
         try { return frame.contentDocument?.getElementById('browser') ? 'framed' : 'refused'; } catch { return 'refused'; }",
    );
    assert_eq!(frame, "refused");
}

#[test]
fn another_site_sends_no_form_and_no_strict_cookie_along() {
    let Some(private) = Private::start(83, nobody()) else { return };
    let tab = private.opened();
    tab.run("document.cookie = 'strict=1; SameSite=Strict; Path=/', 0");
    let target = format!("{}/mirror", private.origin("app"));
    let elsewhere = Origin::saying(b"<!doctype html><title>elsewhere</title>");
    let leave = |how: &str| {
        tab.go(&format!("http://127.0.0.1:{}/", elsewhere.port));
        tab.run(&format!("{how}, 0"));
    };
    let form = |policy: &str| {
        format!(
            "document.body.innerHTML = '<form method=post action=\"{target}\"></form>',
             document.head.innerHTML = '<meta name=referrer content={policy}>', document.forms[0].submit()"
        )
    };
    for policy in ["unsafe-url", "no-referrer"] {
        leave(&form(policy));
        tab.until("location.pathname === '/mirror' && document.body?.textContent.includes('not passed on')");
    }
    leave(&format!("location.href = '{target}'"));
    tab.until("location.pathname === '/mirror' && document.body?.textContent.endsWith('}')");
    let text = tab.run("document.body.innerText");
    let linked: Value = serde_json::from_str(text.as_str().expect("text")).expect("JSON");
    assert_eq!(linked["fields"]["cookie"], "session=secret; _xsrf=token", "{linked}");
    assert_eq!(linked["fields"]["sec-fetch-site"], "cross-site");
}

#[test]
fn an_application_that_sends_no_referrers_posts_its_own_forms() {
    let shown = "<!doctype html><title>form</title><form method=post action=/post></form>";
    let application = Origin::answering(move |head, _| {
        let fields =
            [("Content-Type", "text/html"), ("Referrer-Policy", "no-referrer"), ("Set-Cookie", "a=1")];
        match head.method() {
            "POST" => answer(
                "200 OK",
                &fields,
                format!("{:?} {:?}", head.all("origin"), head.all("cookie")).as_bytes(),
            ),
            _ => answer("200 OK", &fields, shown.as_bytes()),
        }
    });
    let Some(private) = Private::of(84, application.port) else { return };
    let tab = private.chromium.open("about:blank");
    tab.follow(&private.link("app"));
    tab.until("document.title === 'form'");
    tab.run("document.forms[0].submit(), 0");
    tab.until("location.pathname === '/post' && document.body?.textContent.includes('[')");
    let wanted = format!("[\"{}\"] [\"a=1\"]", private.origin("app"));
    assert_eq!(tab.run("document.body.textContent"), wanted);
    // To others it goes on saying nothing.
    let elsewhere =
        Origin::answering(|head, _| answer("200 OK", &[], format!("{:?}", head.all("referer")).as_bytes()));
    tab.run(&format!("location.href = 'http://127.0.0.1:{}/', 0", elsewhere.port));
    tab.until("location.hostname === '127.0.0.1' && document.body?.textContent.includes('[')");
    assert_eq!(tab.run("document.body.textContent"), "[]");
}

#[test]
fn a_relay_that_leads_nobody_to_private_services_asks_for_no_key() {
    let service = Origin::saying(b"public");
    let home = Home::new();
    let mut agent = home.start(&["expose", &service.port.to_string(), "--json"]);
    let ready = agent.event("ready");
    let url = ready["url"].as_str().expect("a URL");
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut visitor = Conversation::dial(port);
    visitor
        .send(request(&format!("zzz--{host}"), "GET", "/", &["Accept: text/html"]))
        .expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = String::from_utf8(visitor.body(&head).expect("a body")).expect("text");
    assert!(
        head.status() == 404 && body.contains("There is no such service") && !body.contains("<script"),
        "{body}"
    );
}

#[test]
fn what_a_relay_serves_is_what_the_sources_of_the_package_make() {
    use std::io::Read;
    let embedded = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner-native/relay/sign-in");
    let names = std::fs::read_dir(&embedded).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut checked = 0;
    for path in names {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let mut content = std::fs::read(&path).expect("a file");
        if name.ends_with(".gz") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&content[..]).read_to_end(&mut plain).expect("gzip");
            content = plain;
        }
        let mut made = std::fs::read(package().join(name.trim_end_matches(".gz"))).unwrap_or_default();
        // A relay serves no source maps.
        let map = made
            .windows(2)
            .rposition(|window| window == b"//")
            .filter(|at| made[*at..].starts_with(b"//# source"));
        made.truncate(map.unwrap_or(made.len()));
        assert!(content == made, "{name} is out of date: run cargo xtask wasm --embed");
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}
