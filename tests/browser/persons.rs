//! Who comes to a private service: strangers, who learn nothing, and persons who use one browser after each other.

use hvym_tunnel_tests::chromium::Tab;
use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::tunnel::request;
use serde_json::{Value, json};

use super::private::{Private, nobody};

/// What the relay answers to a visitor without a key; the name of the service, which it repeats, as SERVICE.
fn answer(
    private: &Private,
    service: &str,
    line: (&str, &str),
    accept: &str,
) -> (String, Vec<(String, String)>) {
    let mut visitor = Conversation::dial(private.relay.port);
    let (method, path) = line;
    let head = request(&private.host(service), method, path, &[&format!("Accept: {accept}")]);
    visitor.send(head).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a body");
    let text = String::from_utf8_lossy(&body).replace(service, "SERVICE");
    let fields = head.fields.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
    (format!("{} {text}", head.first), fields.collect())
}

#[test]
fn a_stranger_is_not_told_whether_there_is_a_private_service() {
    let Some(private) = Private::start(76, nobody()) else { return };
    let lines = [
        ("GET", "/"),
        ("GET", "/a?b"),
        ("POST", "/"),
        ("DELETE", "/a"),
        ("GET", "/.hvym-tunnel/"),
        ("GET", "/.hvym-tunnel/bridge-worker.js"),
        ("GET", "/.hvym-tunnel/none.js"),
    ];
    for (line, accept) in lines.into_iter().flat_map(|line| [(line, "text/html"), (line, "application/json")])
    {
        let (there, fields) = answer(&private, "app", line, accept);
        assert_eq!((there, fields.clone()), answer(&private, "zzz", line, accept), "{line:?} {accept}");
        assert!(fields.iter().all(|(name, _)| !name.eq_ignore_ascii_case("set-cookie")), "{fields:?}");
    }
    let (page, fields) = answer(&private, "app", ("GET", "/"), "text/html");
    assert!(page.starts_with("HTTP/1.1 404 Not Found"), "{page}");
    assert!(page.contains(&private.owner.address().to_string()), "{page}");
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.unwrap_or_else(|| panic!("no {wanted}: {fields:?}")).1.as_str()
    };
    let policy = field("content-security-policy");
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    assert_eq!(field("cross-origin-opener-policy"), "same-origin");
}

/// Leaves something in every store that pages have.
fn leave_traces(tab: &Tab) {
    // A script in the head gives the page its title, before there is a body.
    tab.until("document.readyState === 'complete'");
    tab.block(
        "localStorage.setItem('mine', '1');
         sessionStorage.setItem('mine', '1');
         document.cookie = 'mine=1; Path=/';
         const native = document.createElement('iframe');
         document.body.append(native);
         native.contentDocument.cookie = 'native=1; Path=/';
         native.remove();
         await (await caches.open('mine')).put('/mine', new Response('mine'));
         await new Promise((resolve) => { indexedDB.open('mine').onsuccess = ({ target }) => { target.result.close(); resolve(); }; });
         await (await navigator.storage.getDirectory()).getFileHandle('mine', { create: true });",
    );
}

/// What is in them.
const TRACES: &str = "
    const folder = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) folder.push(name);
    const native = document.createElement('iframe');
    document.body.append(native);
    const cookie = native.contentDocument.cookie;
    native.remove();
    return {
        stored: [localStorage.length, sessionStorage.length, await caches.keys(), folder],
        databases: (await indexedDB.databases()).map(({ name }) => name),
        cookie,
    };";

fn nothing() -> Value {
    json!({"stored": [0, 0, [], []], "databases": ["hvym-tunnel"], "cookie": ""})
}

/// The records that the package keeps.
const RECORDS: &str = "
    return new Promise((resolve) => {
        indexedDB.open('hvym-tunnel').onsuccess = ({ target }) => {
            const transaction = target.result.transaction(['identities', 'bridge']);
            const keys = ['identities', 'bridge'].map((name) => transaction.objectStore(name).getAllKeys());
            transaction.oncomplete = () => { target.result.close(); resolve(keys.flatMap(({ result }) => result)); };
        };
    });";

#[test]
fn who_leaves_takes_everything_along_and_every_tab_is_closed_to_the_next_person() {
    let Some(private) = Private::start(85, nobody()) else { return };
    let tab = private.opened();
    leave_traces(&tab);
    assert_ne!(tab.block(TRACES), nothing(), "the traces are none");
    let other = private.chromium.open(&format!("{}/mirror#part", private.origin("app")));
    other.run("sessionStorage.setItem('mine', '1'), 0");
    tab.go(&format!("{}/.hvym-tunnel/", private.origin("app")));
    tab.until("!document.getElementById('forget').hidden");
    tab.run("document.getElementById('forget').click(), 0");
    tab.until("location.pathname === '/' && document.getElementById('choices')?.hidden === false");
    assert_eq!(tab.block(TRACES), nothing());
    assert_eq!(tab.block(RECORDS), json!([]));
    assert_eq!(tab.run("navigator.serviceWorker.getRegistrations().then(({ length }) => length)"), 0);
    other.until("document.getElementById('choices')?.hidden === false");
    assert_eq!(other.run("[sessionStorage.length, location.pathname]"), json!([0, "/mirror"]));
    let status = other.run("fetch('/mirror').then(({ status }) => status)");
    assert_eq!(status, 404, "an open tab reaches the service");
    // Nor is the application in the history.
    tab.run("window.isLeft = false, history.back(), 0");
    tab.until("window.isLeft === undefined && document.getElementById('choices')?.hidden === false");
}

#[test]
fn another_persons_link_asks_first_and_opens_with_nothing_of_the_first_person() {
    let Some(private) = Private::start(86, nobody()) else { return };
    let tab = private.opened();
    leave_traces(&tab);
    let cookie = "fetch('/mirror').then((response) => response.json()).then(({ fields }) => fields.cookie)";
    let second = private.chromium.open("about:blank");
    second.follow(&private.link_of(87, "app"));
    second.until("document.getElementById('replace')?.hidden === false");
    // Nobody is made to leave by a link that was put before him.
    assert_eq!(tab.run(cookie), "session=secret; _xsrf=token; mine=1");
    second.run("document.getElementById('replace').click(), 0");
    second.until("document.title === 'application'");
    assert_eq!(second.run("[first, localStorage.length, location.hash]"), json!(["_xsrf=token", 0, ""]));
    assert_eq!(second.block(TRACES), nothing());
    tab.until("document.getElementById('choices')?.hidden === false");
    // The same link once more changes nothing.
    second.run("document.cookie = 'own=1; Path=/', 0");
    second.follow(&private.link_of(87, "app"));
    second.until("document.title === 'application' && first.includes('own=1')");
}

#[test]
fn after_a_revocation_the_page_asks_again_and_the_next_link_begins_anew() {
    let Some(private) = Private::start(88, nobody()) else { return };
    let tab = private.chromium.open("about:blank");
    tab.follow(&private.link_of(89, "app"));
    tab.until("document.title === 'application'");
    leave_traces(&tab);
    private.revoke(89);
    // The relay ends the session at once, and the worker hears of it in a moment.
    tab.block("while ((await fetch('/mirror')).status !== 502);");
    tab.follow(&format!("{}/", private.origin("app")));
    tab.until("document.getElementById('choices')?.hidden === false");
    tab.follow(&private.link_of(90, "app"));
    tab.until("document.title === 'application'");
    assert_eq!(tab.run("[first, localStorage.length]"), json!(["_xsrf=token", 0]));
}
