//! Streams of a tab over a long time: each is released, used again and waited for, whoever asks and however it ends.

use std::thread;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use serde_json::{Value, json};

use super::page::{Page, relay_options};

const OWNER: [u8; 32] = [51; 32];

/// What the module's memory may grow by while thousands of exchanges pass: nothing of them stays.
const MAX_GROWTH: u64 = 512 * 1024;
/// What the heap of JavaScript may have, uncollected garbage included.
const MAX_HEAP: u64 = 96 * 1024 * 1024;

/// A native agent that exposes `origin` as `api`, and a page, connected with `options`, in which `service` names it.
fn reachable(relay: &Relay, origin: &Origin, options: &str) -> Option<(Agent, Page)> {
    let key = Key::from_seed(OWNER);
    let agent = Agent::start_in(Home::of(&key), relay, origin.port, &["--service", "api"]);
    let page = Page::open()?;
    let connection = relay_options(relay);
    page.block(&format!(
        "window.tunnel = await Tunnel.connect({{ {connection}, identity: Identity.generate(), {options} }});
         window.service = '{}/api';",
        key.address()
    ));
    Some((agent, page))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_page_that_polls_five_thousand_times_is_always_answered_and_does_not_grow() {
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, &Origin::saying(b"ok"), "") else { return };
    page.block(
        "window.poll = async () => (await tunnel.fetch(service, '/poll')).text();
         for (let i = 0; i < 200; i += 1) await poll();
         window.before = await memory();
         window.right = 0;
         window.worker = async (count) => { for (let i = 0; i < count; i += 1) if ((await poll()) === 'ok') right += 1; };",
    );
    // One script may take a minute, which all of them take on a busy machine.
    for _ in 0..5 {
        page.block("await Promise.all([worker(250), worker(250), worker(250), worker(250)]);");
    }
    let seen = page.block("return [right, (await memory()) - before, performance.memory.usedJSHeapSize];");
    println!("grown by {} bytes, and {} bytes of JavaScript", seen[1], seen[2]);
    assert_eq!(seen[0], 5000);
    assert!(number(&seen[1]) <= MAX_GROWTH && number(&seen[2]) <= MAX_HEAP, "{seen}");
}

#[test]
fn a_service_that_closes_each_connection_is_asked_no_faster_than_the_relay_allows() {
    let origin = Origin::start(|mut connection| {
        connection.head()?;
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
        connection.finish()
    });
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, &origin, "") else { return };
    // The 129th in a row would be refused.
    let right = page.block(
        "let right = 0;
         for (let i = 0; i < 160; i += 1) if ((await (await tunnel.fetch(service)).text()) === 'ok') right += 1;
         return right;",
    );
    assert_eq!(right, 160);
}

#[test]
fn two_hundred_fetches_at_once_share_the_streams_and_are_all_answered() {
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, &Origin::saying(b"ok"), "limits: { outbound: 16 }") else {
        return;
    };
    let right = page.block(
        "const all = Array.from({ length: 200 }, async () => (await tunnel.fetch(service)).text());
         return (await Promise.all(all)).filter((text) => text === 'ok').length;",
    );
    assert_eq!(right, 200);
}

#[test]
fn small_bodies_that_nobody_reads_hold_no_stream_and_large_ones_hold_theirs_until_they_are_cancelled() {
    let origin = Origin::answering(|head, _| {
        let size = if head.target() == "/large" { 1_000_000 } else { 10_000 };
        hvym_tunnel_tests::http::ok(&vec![b'x'; size])
    });
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, &origin, "limits: { outbound: 3 }") else { return };
    let seen = page.block(
        "const small = [];
         for (let i = 0; i < 12; i += 1) small.push(await tunnel.fetch(service, '/small'));
         const large = [];
         for (let i = 0; i < 3; i += 1) large.push(await tunnel.fetch(service, '/large'));
         let isAnswered = false;
         const next = tunnel.fetch(service, '/small').then((response) => { isAnswered = true; return response.text(); });
         const abort = new AbortController();
         const aborted = rejection(tunnel.fetch(service, '/small', { signal: abort.signal }));
         abort.abort();
         const { name } = await aborted;
         const waits = !isAnswered;
         await large[1].body.cancel();
         return [small.length, waits, (await next).length, name, (await large[0].text()).length];",
    );
    assert_eq!(seen, json!([12, true, 10_000, "AbortError", 1_000_000]));
}

#[test]
fn an_aborted_request_gives_the_signals_reason_and_forgets_the_signal() {
    let relay = Relay::start(&[]);
    let Some((_agent, page)) = reachable(&relay, &Origin::echo(), "") else { return };
    let seen = page.block(
        "const abort = new AbortController();
         const listeners = new Set();
         const { signal } = abort;
         const [add, remove] = [signal.addEventListener, signal.removeEventListener];
         signal.addEventListener = (...all) => { listeners.add(all[1]); add.apply(signal, all); };
         signal.removeEventListener = (...all) => { listeners.delete(all[1]); remove.apply(signal, all); };
         const { readable, writable } = await tunnel.connectStream(service, { signal });
         const during = listeners.size;
         const writer = writable.getWriter();
         const reader = readable.getReader();
         const reading = rejection(reader.read());
         abort.abort(new TypeError('enough'));
         return [during, (await reading).message, (await rejection(writer.write('x'))).message, listeners.size];",
    );
    assert_eq!(seen, json!([1, "enough", "enough", 0]));
}

#[test]
fn five_thousand_visits_are_answered_and_nothing_of_them_stays() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let url = page.text(
        "tunnel.serve('app', (request) => {
             if (request.url.endsWith('/throws')) throw new Error('a fault of the page');
             return new Response('ok');
         })",
    );
    let host = host_of(&url).to_owned();
    let visit = |count: usize, target: &str| {
        let mut visitor = relay.visit();
        let mut statuses = Vec::new();
        for _ in 0..count {
            visitor.send(request(&host, "GET", target, &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            visitor.body(&head).expect("a whole answer");
            statuses.push(head.status());
        }
        statuses
    };
    let answered = |count: usize, target: &str, status: u16| {
        thread::scope(|scope| {
            let visitors: Vec<_> = (0..4).map(|_| scope.spawn(|| visit(count / 4, target))).collect();
            let statuses = visitors.into_iter().flat_map(|visitor| visitor.join().expect("no panic"));
            statuses.filter(|answer| *answer == status).count()
        })
    };
    visit(200, "/");
    let before = number(&page.run("memory()"));
    // Each ends its connection to the page.
    assert_eq!(answered(1000, "/throws", 500), 1000);
    assert_eq!(answered(5000, "/", 200), 5000);
    let seen = page.block("return [await memory(), performance.memory.usedJSHeapSize, tunnel.log.filter(({ kind }) => kind === 'error').length];");
    println!("grown by {} bytes, and {} bytes of JavaScript", number(&seen[0]) - before, seen[1]);
    assert!(number(&seen[0]) - before <= MAX_GROWTH && number(&seen[1]) <= MAX_HEAP, "{seen}");
    assert_eq!(seen[2], 1000, "the page hears of each of its faults");
}

#[test]
fn a_tab_serves_as_many_fetches_of_another_as_come() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::connected(&relay), Page::connected(&relay)) else { return };
    owner.run("tunnel.serve('app', () => new Response('ok'))");
    let service = format!("{}/app", owner.text("tunnel.address"));
    let right = friend.block(&format!(
        "const all = Array.from({{ length: 200 }}, async () => (await tunnel.fetch('{service}')).text());
         return (await Promise.all(all)).filter((text) => text === 'ok').length;"
    ));
    assert_eq!(right, 200);
    assert_eq!(owner.text(&format!("tunnel.fetch('{service}').then((response) => response.text())")), "ok");
}

#[test]
fn visitors_above_the_limit_are_told_503_and_those_below_go_on() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let url = page.block(&format!(
        "window.tunnel = await Tunnel.connect({{ {}, identity: Identity.generate(), limits: {{ inbound: 2 }} }});
         return tunnel.serve('app', (request) => request.url.endsWith('/events')
             ? new Response(new ReadableStream({{ start(controller) {{ window.last = controller; }} }}))
             : new Response('ok'));",
        relay_options(&relay)
    ));
    let host = host_of(url.as_str().expect("a URL")).to_owned();
    let listen = || {
        let mut visitor = relay.visit();
        visitor.send(request(&host, "GET", "/events", &[])).expect("the relay reads");
        visitor
    };
    let mut listeners = [listen(), listen()];
    for listener in &mut listeners {
        assert_eq!(listener.head().expect("an answer").status(), 200);
    }
    // The relay lets it wait for ten seconds.
    assert_eq!(listen().head().expect("an answer").status(), 503);
    page.run("last.enqueue(new TextEncoder().encode('still here')), 0");
    assert_eq!(listeners[1].chunk().expect("an event"), b"still here");
    let [first, _second] = listeners;
    drop(first);
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
}

#[test]
fn a_connection_on_which_no_whole_request_comes_is_ended() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::open(), Page::connected(&relay)) else { return };
    let service = owner.block(&format!(
        "window.tunnel = await Tunnel.connect({{ {}, identity: Identity.generate(), limits: {{ requestHead: 500 }} }});
         await tunnel.serve('app', () => new Response('ok'));
         return `${{tunnel.address}}/app`;",
        relay_options(&relay)
    ));
    let said = friend.block(&format!(
        "const {{ readable, writable }} = await tunnel.connectStream({service});
         const writer = writable.getWriter();
         await writer.write('GET / HTTP/1.1\\r\\nHost: a\\r\\n');
         return new Response(readable).text();"
    ));
    assert_eq!(said, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let said = friend.block(&format!(
        "const {{ readable }} = await tunnel.connectStream({service});
         return new Response(readable).text();"
    ));
    assert_eq!(said, "", "what has not begun is not told that it is late");
}
