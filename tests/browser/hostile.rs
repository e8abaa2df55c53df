//! A private service that means ill: what its pages and answers do to its neighbours, the relay's page and the key.

use hvym_tunnel_tests::chromium::{RELAY_DOMAIN, Tab};
use hvym_tunnel_tests::http::{Origin, answer};
use hvym_tunnel_tests::tunnel::Agent;
use serde_json::{Value, json};

use super::private::{Private, nobody};

/// A service that answers everything alike, with fields that would be its own to say on an origin without a bridge.
fn trap(domain: &str) -> Origin {
    let cookie = format!("tossed=1; Domain={domain}; Path=/");
    Origin::answering(move |head, _| {
        let (kind, body) = match head.target() {
            "/away" => {
                let fields =
                    [("Location", "/.hvym-tunnel/bridge-worker.js"), ("Service-Worker-Allowed", "/")];
                return answer("302 Found", &fields, b"");
            }
            target if target.ends_with(".js") => ("text/javascript", "self.onfetch = () => {};"),
            _ => ("text/html", "<!doctype html><title>trap</title>"),
        };
        let fields = [
            ("Content-Type", kind),
            ("Service-Worker-Allowed", "/"),
            ("Clear-Site-Data", "\"*\""),
            ("Set-Cookie", &*cookie),
            ("Content-Security-Policy", "default-src * 'unsafe-inline' 'unsafe-eval'; frame-ancestors *"),
            ("Access-Control-Allow-Origin", "*"),
        ];
        answer("200 OK", &fields, body.as_bytes())
    })
}

/// A tab in a hostile service called `app`.
struct Trapped {
    private: Private,
    _trap: Origin,
    tab: Tab,
}

impl Trapped {
    fn open(seed: u8) -> Option<Self> {
        let trap = trap("localhost");
        let private = Private::of(seed, trap.port)?;
        let tab = private.chromium.open("about:blank");
        tab.follow(&private.link("app"));
        tab.until("document.title === 'trap'");
        Some(Self { private, _trap: trap, tab })
    }
}

/// What a script is told of a promise: `done`, or the name of the error.
const OUTCOME: &str = "const outcome = (promise) => promise.then(() => 'done', ({ code, name }) => (typeof code === 'string' ? code : name));";

#[test]
fn a_hostile_service_replaces_nothing_of_its_bridge() {
    let Some(trapped) = Trapped::open(91) else { return };
    let tab = &trapped.tab;
    let seen = tab.block(&format!(
        "{OUTCOME}
         const workers = navigator.serviceWorker;
         const script = new Blob(['self.onfetch = () => {{}}'], {{ type: 'text/javascript' }});
         const outcomes = [
             await outcome(workers.register('/sw.js')),
             await outcome(workers.register('/sw.js', {{ scope: '/.hvym-tunnel/' }})),
             await outcome(workers.register('/away')),
             await outcome(workers.register(URL.createObjectURL(script))),
         ];
         const text = async (path) => (await fetch(path)).text();
         return {{
             outcomes,
             worker: workers.controller.scriptURL.endsWith('/.hvym-tunnel/bridge-worker.js'),
             own: (await text('/.hvym-tunnel/bridge-worker.js')).includes('self.onfetch'),
             unknown: (await text('/.hvym-tunnel/sw.js')).includes('self.onfetch'),
             redirected: (await text('/away')).includes('self.onfetch'),
             reached: (await text('/app.js')).includes('self.onfetch'),
         }};"
    ));
    let outcomes = seen["outcomes"].as_array().expect("a list");
    assert!(!outcomes.contains(&json!("done")), "{seen}");
    let rest = ["worker", "own", "unknown", "redirected", "reached"].map(|name| seen[name].clone());
    assert_eq!(rest, [json!(true), json!(false), json!(false), json!(false), json!(true)], "{seen}");
}

#[test]
fn a_hostile_service_neither_takes_out_nor_loses_the_key_that_opened_it() {
    let Some(trapped) = Trapped::open(92) else { return };
    let Trapped { private, tab, .. } = &trapped;
    let seen = tab.block(&format!(
        "{OUTCOME}
         const records = await new Promise((resolve) => {{
             indexedDB.open('hvym-tunnel').onsuccess = ({{ target }}) => {{
                 const all = target.result.transaction('identities').objectStore('identities').getAll();
                 all.onsuccess = () => {{ target.result.close(); resolve(all.result); }};
             }};
         }});
         const {{ privateKey }} = records[0];
         const {{ identityNamed }} = await import('/.hvym-tunnel/identity.js'); await import('/.hvym-tunnel/page.js');
         const {{ Tunnel }} = await import('/.hvym-tunnel/tunnel.js');
         const identity = await identityNamed('link {0}/app');
         const tunnel = await Tunnel.connect({{ relay: 'ws://{1}', identity }});
         const outcomes = [
             await outcome(tunnel.fetch('{0}/other')),
             await outcome(tunnel.serve('app', () => new Response(''))),
         ];
         await tunnel.close();
         return {{
             records: records.length, extractable: privateKey.extractable, outcomes,
             exports: [await outcome(crypto.subtle.exportKey('pkcs8', privateKey)), await outcome(crypto.subtle.exportKey('jwk', privateKey))],
             texts: JSON.stringify(records).includes('privateKey\":{{}}'),
         }};",
        private.owner.address(),
        private.authority(),
    ));
    assert_eq!((&seen["records"], &seen["extractable"]), (&json!(1), &json!(false)), "{seen}");
    assert_eq!(seen["exports"], json!(["InvalidAccessError", "InvalidAccessError"]).clone(), "{seen}");
    assert_eq!(seen["texts"], true, "{seen}");
    assert_eq!(seen["outcomes"][0], "delegation_service", "{seen}");
    assert_ne!(seen["outcomes"][1], "done", "{seen}");
    // Its `Clear-Site-Data` was heard by nobody.
    tab.go(&format!("{}/", private.origin("app")));
    assert_eq!(tab.run("document.title"), "trap");
}

#[test]
fn a_bridge_survives_whatever_its_pages_send_to_it() {
    let Some(trapped) = Trapped::open(93) else { return };
    let Trapped { private, tab, .. } = &trapped;
    let seen = tab.block(
        "const { controller } = navigator.serviceWorker;
         const kinds = ['websocket', 'cookie', 'close', 'leave', 'other', undefined];
         for (const kind of kinds.filter((kind) => kind !== 'leave')) {
             for (const more of [{}, { path: 'lication/', protocols: [] }, { path: 5, line: 5 }, { line: null, path: null }]) {
                 controller.postMessage({ kind, ...more });
                 controller.postMessage({ kind, ...more }, [new MessageChannel().port2]);
             }
         }
         controller.postMessage(undefined);
         controller.postMessage('close');
         const closed = (path) => new Promise((resolve) => {
             const { port1, port2 } = new MessageChannel();
             port1.onmessage = ({ data }) => resolve([data.kind, data.code]);
             controller.postMessage({ kind: 'websocket', path, protocols: [] }, [port2]);
         });
         return [await closed('lication/'), await closed('//other/'), (await fetch('/app.js')).status];",
    );
    assert_eq!(seen, json!([["close", 1006], ["close", 1006], 200]));
    // A page that says it for its person has only itself to leave.
    tab.run(
        "navigator.serviceWorker.controller.postMessage({ kind: 'leave' }, [new MessageChannel().port2]), 0",
    );
    tab.go(&format!("{}/", private.origin("app")));
    assert_eq!(tab.run("document.title"), "trap");
}

#[test]
fn the_page_that_asks_for_a_key_is_in_no_frame_and_no_window_of_a_service() {
    let Some(trapped) = Trapped::open(94) else { return };
    let tab = &trapped.tab;
    let seen = tab.block(
        "const framed = async (path) => {
             const frame = document.createElement('iframe');
             frame.src = path;
             const loaded = new Promise((resolve) => { frame.onload = resolve; });
             document.body.append(frame);
             await loaded;
             try { return frame.contentDocument.title; } catch { return 'refused'; }
         };
         const own = await framed('/');
         const asking = await framed('/.hvym-tunnel/');
         const opened = window.open('/.hvym-tunnel/');
         const started = performance.now();
         // The window of a page that has another group of its own is closed for who opened it.
         while (!opened.closed && performance.now() - started < 20000) await new Promise((resolve) => setTimeout(resolve));
         return [own, asking, opened.closed];",
    );
    assert_eq!(seen, json!(["trap", "refused", true]));
}

/// Two services of one owner below one domain, in one browser: they are of one site.
struct Neighbours {
    private: Private,
    _agent: Agent,
    _trap: Origin,
    tab: Tab,
}

impl Neighbours {
    fn open(seed: u8) -> Option<Self> {
        let private = Private::start_with_tls(seed, nobody())?;
        let trap = trap(RELAY_DOMAIN);
        let agent = private.expose("trap", trap.port, &nobody().to_string());
        let victim = private.opened();
        victim.run("document.cookie = 'mine=1; Path=/; Secure', 0");
        let tab = private.chromium.open("about:blank");
        tab.follow(&private.link("trap"));
        tab.until("document.title === 'trap'");
        Some(Self { private, _agent: agent, _trap: trap, tab })
    }

    /// What the victim's service sees of a request of its own page.
    fn victim_sees(&self) -> Value {
        let victim = self.private.chromium.open(&format!("{}/", self.private.origin("app")));
        victim.until("document.title === 'application'");
        victim.run("fetch('/mirror').then((response) => response.json())")["fields"].clone()
    }
}

#[test]
fn a_hostile_neighbour_of_one_site_reads_frames_and_posts_nothing() {
    let Some(neighbours) = Neighbours::open(95) else { return };
    let target = neighbours.private.origin("app");
    let seen = neighbours.tab.block(&format!(
        "{OUTCOME}
         const heard = [];
         addEventListener('message', ({{ data }}) => heard.push(data));
         const frame = document.createElement('iframe');
         frame.src = '{target}/';
         const loaded = new Promise((resolve) => {{ frame.onload = resolve; }});
         document.body.append(frame);
         await loaded;
         const read = await outcome(fetch('{target}/mirror', {{ credentials: 'include' }}));
         const blind = await fetch('{target}/mirror', {{ mode: 'no-cors', credentials: 'include' }}).then(({{ type }}) => type, ({{ name }}) => name);
         return [heard, read, blind];"
    ));
    assert_eq!(seen, json!([[], "TypeError", "TypeError"]));
    neighbours.tab.run(&format!(
        "document.body.innerHTML = '<form method=post action=\"{target}/mirror\"></form>', document.forms[0].submit(), 0"
    ));
    neighbours
        .tab
        .until("location.pathname === '/mirror' && document.body?.textContent.includes('not passed on')");
    // Whereas its own pages may show it.
    let own = neighbours.private.chromium.open(&format!("{target}/"));
    own.until("document.title === 'application'");
    let heard = own.block(
        "const heard = new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data)));
         const frame = document.createElement('iframe');
         frame.src = '/';
         document.body.append(frame);
         return heard;",
    );
    assert_eq!(heard, "application");
}

#[test]
fn a_cookie_for_the_whole_domain_reaches_no_neighbour() {
    let Some(neighbours) = Neighbours::open(96) else { return };
    let tossed = neighbours.tab.block(
        "document.cookie = 'scripted=1; Domain=tunnel.example; Path=/; Secure';
         const frame = document.createElement('iframe');
         document.body.append(frame);
         frame.contentDocument.cookie = 'native=1; Domain=tunnel.example; Path=/; Secure';
         return frame.contentDocument.cookie;",
    );
    // By a document that no bridge has changed; a domain is safe from it if it is a public suffix.
    assert_eq!(tossed, "native=1");
    assert_eq!(neighbours.victim_sees()["cookie"], "session=secret; _xsrf=token; mine=1");
}
