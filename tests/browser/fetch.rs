//! Requests and streams from a tab to the services of a native agent and of another tab, and to services that it may not
//! use.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, Program, python};
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use serde_json::json;

use super::page::Page;

const LARGE: usize = 50 * 1024 * 1024;
/// The module's memory while a large body passes.
const MAX_MEMORY: u64 = 24 * 1024 * 1024;

const OWNER: [u8; 32] = [41; 32];

/// A native agent that exposes `target` as `pintheon`, and a page in which `service` names that service.
fn reachable(relay: &Relay, target: u16, arguments: &[&str]) -> Option<(Agent, Page)> {
    let key = Key::from_seed(OWNER);
    let arguments = [&["--service", "pintheon"], arguments].concat();
    let agent = Agent::start_in(Home::of(&key), relay, target, &arguments);
    let page = Page::connected(relay)?;
    page.run(&format!("window.service = '{}/pintheon', 0", key.address()));
    Some((agent, page))
}

/// A service written in Python, and its port.
fn origin() -> (Program, u16) {
    let mut program = python(&["origin.py"]);
    let port = program.line().parse().expect("a port");
    (program, port)
}

#[test]
fn a_tab_asks_a_service_behind_a_native_agent() {
    let (_service, port) = origin();
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, port, &[]) else { return };
    let seen = page.block(
        "const response = await tunnel.fetch(service, '/mirror?q=a b', {
             method: 'POST', headers: { 'x-tab': 'yes', cookie: 'a=1' },
         });
         return [response.status, response.headers.get('content-length') !== null, await response.json()];",
    );
    assert_eq!((&seen[0], &seen[1]), (&json!(200), &json!(true)), "{seen}");
    assert_eq!(seen[2]["target"], "/mirror?q=a%20b");
    let fields = seen[2]["fields"].as_array().expect("a list");
    for wanted in [json!(["x-tab", "yes"]), json!(["cookie", "a=1"])] {
        assert!(fields.contains(&wanted), "{wanted} in {fields:?}");
    }
    let seen = page.block(
        "const echo = await tunnel.fetch(service, '/echo', { method: 'POST', body: 'hé' });
         const cookies = await tunnel.fetch(service, '/cookies');
         const missing = await tunnel.fetch(service, '/none');
         const head = await tunnel.fetch(service, '/cookies', { method: 'HEAD' });
         return [await echo.text(), cookies.headers.getSetCookie().length, missing.status, head.body === null];",
    );
    assert_eq!(seen, json!(["hé", 2, 404, true]));
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn large_bodies_come_and_go_byte_for_byte() {
    let (_service, port) = origin();
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, port, &[]) else { return };
    let seen = page.block(&format!(
        "const digest = async (bytes) => hex(await crypto.subtle.digest('SHA-256', bytes));
         const down = await tunnel.fetch(service, '/download?bytes={LARGE}');
         const whole = await down.arrayBuffer();
         const wanted = down.headers.get('x-sha256');
         const body = bytesFrom(0, {LARGE});
         const up = await (await tunnel.fetch(service, '/upload', {{ method: 'POST', body }})).json();
         return [whole.byteLength, await digest(whole) === wanted, up.bytes, up.sha256 === await digest(body), await memory()];"
    ));
    assert_eq!((&seen[0], &seen[1]), (&json!(LARGE), &json!(true)), "{seen}");
    assert_eq!((&seen[2], &seen[3]), (&json!(LARGE), &json!(true)), "{seen}");
    println!("memory of the module: {} bytes", seen[4]);
    assert!(seen[4].as_u64().is_some_and(|bytes| bytes < MAX_MEMORY), "{seen}");
}

#[test]
fn events_reach_a_tab_one_by_one() {
    let (_service, port) = origin();
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, port, &[]) else { return };
    let seen = page.block(
        "const publish = (body) => tunnel.fetch(service, '/publish', { method: 'POST', body });
         const response = await tunnel.fetch(service, '/events');
         const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
         const seen = [response.headers.get('content-type')];
         for (const text of ['one', 'two', 'three']) {
             await publish(text);
             seen.push((await reader.read()).value);
         }
         await publish('');
         seen.push((await reader.read()).done);
         return seen;",
    );
    assert_eq!(seen, json!(["text/event-stream", "data: one\n\n", "data: two\n\n", "data: three\n\n", true]));
}

#[test]
fn a_request_that_is_aborted_ends_at_the_service() {
    let (ended, seen) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let service = Origin::start(move |mut connection| {
        let head = connection.head()?;
        if head.target() == "/slow" {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegun")?;
        }
        // Waits for the connection's end, orderly or not.
        let _rest = connection.rest();
        ended.lock().expect("no test panics with it").send(head.target().to_owned()).expect("the test waits");
        Ok(())
    });
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, service.port, &[]) else { return };
    let timeout = hvym_tunnel_tests::program::PATIENCE;
    let rejection = page.block(
        "const abort = new AbortController();
         const response = await tunnel.fetch(service, '/slow', { signal: abort.signal });
         const reader = response.body.getReader();
         await reader.read();
         const rest = rejection(reader.read());
         abort.abort();
         return rest;",
    );
    assert_eq!(rejection["name"], "AbortError", "{rejection}");
    assert_eq!(seen.recv_timeout(timeout).as_deref(), Ok("/slow"));
    let rejection = page.block(
        "const abort = new AbortController();
         const waiting = rejection(tunnel.fetch(service, '/never', { signal: abort.signal }));
         setTimeout(() => abort.abort(new TypeError('enough')), 500);
         return waiting;",
    );
    assert_eq!(
        (&rejection["name"], &rejection["message"]),
        (&json!("TypeError"), &json!("enough")),
        "{rejection}"
    );
    assert_eq!(seen.recv_timeout(timeout).as_deref(), Ok("/never"));
}

#[test]
fn a_stranger_is_told_nothing_and_a_friend_is_let_in() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let friend = page.text("tunnel.address");
    let port = Origin::saying(b"private").port;
    let Some((_agent, stranger)) = reachable(&relay, port, &["--private", "--allow", &friend]) else {
        return;
    };
    let service = stranger.text("service");
    let refused = stranger.run("rejection(tunnel.fetch(service))");
    assert_eq!(
        (&refused["name"], &refused["code"]),
        (&json!("TunnelError"), &json!("not_reachable")),
        "{refused}"
    );
    assert!(refused["hint"].is_string(), "{refused}");
    let nobody = stranger.run(&format!("rejection(tunnel.fetch('{friend}/none'))"));
    assert_eq!(nobody, refused, "whether there is a service is not told");
    let refused = stranger.run("rejection(tunnel.connectStream(service))");
    assert_eq!(refused["code"], "not_reachable", "{refused}");
    assert_eq!(
        page.text(&format!("tunnel.fetch('{service}').then((response) => response.text())")),
        "private"
    );
    for (target, code) in
        [("'nowhere'", "bad_target"), ("'GNO/app'", "bad_target"), ("'a/b/c'", "bad_target")]
    {
        assert_eq!(page.run(&format!("rejection(tunnel.fetch({target}))"))["code"], code, "{target}");
    }
}

#[test]
fn a_service_of_bytes_passes_both_halves_one_by_one() {
    let service = Origin::start(|mut connection| {
        let all = connection.rest()?;
        connection.send(&all)?;
        connection.finish()
    });
    let relay = Relay::start(&[]);
    let key = Key::from_seed([42; 32]);
    let target = format!("tcp://localhost:{}", service.port);
    let home = Home::of(&key);
    let _agent = Agent::exposing(
        home,
        &relay,
        &target,
        &["--service", "db", "--private", "--allow", &{
            // The friend's address, known before it connects.
            Key::from_seed([43; 32]).address().to_string()
        }],
    );
    let Some(page) = Page::open() else { return };
    page.connect_as(&relay, &Key::from_seed([43; 32]));
    let seen = page.block(&format!(
        "const {{ readable, writable }} = await tunnel.connectStream('{}/db');
         const upload = bodyOf(3_000_000).pipeTo(writable);
         const [count] = await Promise.all([check(readable), upload]);
         return count;",
        key.address(),
    ));
    assert_eq!(seen, 3_000_000);
}

#[test]
fn one_tab_reaches_another() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::connected(&relay), Page::connected(&relay)) else { return };
    let (owner_is, friend_is) = (owner.text("tunnel.address"), friend.text("tunnel.address"));
    let name = owner.text(&format!(
        "tunnel.serve('app', async (request, context) => new Response(
             `${{context.from}} ${{context.visitor}} ${{await request.text()}}`
         ), {{ allow: ['{friend_is}'] }})"
    ));
    assert_eq!(name, format!("{owner_is}/app"));
    let seen = friend.text(&format!(
        "tunnel.fetch('{name}', '/', {{ method: 'POST', body: bodyOf(3), duplex: 'half' }})
             .then((response) => response.text())"
    ));
    assert!(seen.starts_with(&format!("{friend_is} undefined ")), "{seen}");
    let refused = owner.run(&format!("rejection(tunnel.fetch('{friend_is}/app'))"));
    assert_eq!(refused["code"], "not_reachable");
}

#[test]
fn a_service_that_is_withdrawn_or_replaced_answers_nobody_by_a_kept_connection() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let seen = page.block(
        "const read = async () => (await tunnel.fetch(tunnel.address + '/web')).text();
         await tunnel.serve('web', () => new Response('first'));
         const seen = [await read(), await read()];
         await tunnel.serve('web', () => new Response('second'));
         seen.push(await read());
         tunnel.unserve('web');
         return [...seen, (await rejection(read())).code];",
    );
    assert_eq!(seen, json!(["first", "first", "second", "not_reachable"]));
}
