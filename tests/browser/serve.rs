//! Visitors of a service that a function in a tab answers.

use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};

use super::page::{Page, byte_at};

/// The size of a large body: more than all windows and buffers on its path hold.
const LARGE: usize = 50 * 1024 * 1024;
/// The module's memory while a large body passes.
const MAX_MEMORY: u64 = 24 * 1024 * 1024;

/// Serves `handler` as `app`. Returns the service's host name.
fn serve(page: &Page, handler: &str) -> String {
    let url = page.text(&format!("tunnel.serve('app', {handler}, {{ public: true }})"));
    host_of(&url).to_owned()
}

fn visit(relay: &Relay, host: &str, method: &str, target: &str) -> (u16, Vec<u8>, Conversation) {
    let mut visitor = relay.visit();
    visitor.send(request(host, method, target, &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let bodiless = method == "HEAD" || matches!(head.status(), 204 | 304);
    let body = if bodiless { Vec::new() } else { visitor.body(&head).expect("a whole answer") };
    (head.status(), body, visitor)
}

#[test]
fn a_visitor_gets_what_a_function_in_a_tab_answers() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let host = serve(
        &page,
        "async (request, context) => {
            const { pathname, search } = new URL(request.url);
            return new Response(`${request.method} ${pathname}${search} from ${request.headers.get('host')} `
                + `to ${context.service}: ${await request.text()}`, { headers: { 'x-tab': 'yes' } });
        }",
    );
    let mut visitor = relay.visit();
    for round in 0..3 {
        let body = format!("hello {round}");
        let length = format!("Content-Length: {}", body.len());
        visitor.send(request(&host, "POST", "/a%20b?c=d", &[&length])).expect("the relay reads");
        visitor.send(&body).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!((head.status(), head.field("x-tab")), (200, Some("yes")), "{head:?}");
        let answer = String::from_utf8(visitor.body(&head).expect("a whole answer")).expect("text");
        assert_eq!(answer, format!("POST /a%20b?c=d from {host} to app: {body}"));
    }
    let streams =
        page.run("tunnel.log.filter((event) => event.kind === 'stream').map((event) => event.service)");
    assert!(streams.as_array().is_some_and(|all| all.iter().all(|name| name == "app") && !all.is_empty()));
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn answers_of_every_kind_are_framed_right() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let host = serve(
        &page,
        "(request) => {
            switch (new URL(request.url).pathname) {
                case '/empty': return new Response(null, { status: 204 });
                case '/unchanged': return new Response(null, { status: 304, headers: { etag: '\"e\"' } });
                case '/gone': return new Response('gone', { status: 410, statusText: 'Gone For Good' });
                case '/cookies': return { headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2']], body: 'x' };
                case '/hops': return { headers: { connection: 'x-hop', 'x-hop': '1', 'x-end': '2' }, body: 'x' };
                case '/long': return { headers: { 'content-length': '3' }, body: bodyOf(10) };
                case '/throws': throw new Error('the page has a fault');
                case '/nothing': return undefined;
                default: return new Response('text');
            }
        }",
    );
    let status = |target| visit(&relay, &host, "GET", target).0;
    assert_eq!((status("/empty"), status("/unchanged")), (204, 304));
    let (head, body, _) = visit(&relay, &host, "GET", "/gone");
    assert_eq!((head, body.as_slice()), (410, &b"gone"[..]));
    assert_eq!(visit(&relay, &host, "GET", "/").1, b"text");
    let (head, _, mut visitor) = visit(&relay, &host, "HEAD", "/");
    assert_eq!(head, 200);
    visitor.send(request(&host, "GET", "/cookies", &[])).expect("the relay reads");
    let head = visitor.head().expect("nothing followed the head of the answer to HEAD");
    assert_eq!(head.all("set-cookie"), ["a=1", "b=2"], "{head:?}");
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/hops", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.field("x-hop"), head.field("x-end")), (None, Some("2")), "{head:?}");
    assert_eq!((status("/throws"), status("/nothing")), (500, 500));
    let faults = page.run("tunnel.log.filter((event) => event.kind === 'error').map((event) => event.text)");
    assert!(faults[0].as_str().is_some_and(|text| text.contains("the page has a fault")), "{faults}");
    // A body that does not match its announced length must not look complete.
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/long", &[])).expect("the relay reads");
    // If the head was not sent yet when the error was found, the relay responds instead.
    if let Ok(head) = visitor.head()
        && head.status() == 200
    {
        let body = visitor.body(&head);
        assert!(body.is_err(), "{body:?}");
    }
    assert_eq!(status("/"), 200, "the tunnel goes on");
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn large_bodies_pass_both_ways_and_nothing_piles_up() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let handler = "async (request) => request.method === 'POST'
        ? new Response(String(await check(request.body)))
        : new Response(bodyOf(Number(new URL(request.url).searchParams.get('bytes'))))";
    let host = serve(&page, handler);
    let before = page.run("memory()").as_u64().expect("a number");

    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", &format!("/?bytes={LARGE}"), &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let mut at = 0;
    loop {
        let chunk = visitor.chunk().expect("a whole answer");
        if chunk.is_empty() {
            break;
        }
        let wrong = chunk.iter().enumerate().position(|(i, byte)| *byte != byte_at(at + i));
        assert_eq!(wrong, None, "at {at} of {head:?}");
        at += chunk.len();
    }
    assert_eq!(at, LARGE);

    let mut visitor = relay.visit();
    let mut writer = visitor.writer();
    let asked = request(&host, "POST", "/", &[&format!("Content-Length: {LARGE}")]);
    std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(asked.as_bytes()).expect("the relay reads");
        for at in (0..LARGE).step_by(1 << 16) {
            let piece: Vec<u8> = (at..at + (1 << 16)).map(byte_at).collect();
            writer.write_all(&piece).expect("the relay reads");
        }
    });
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    assert_eq!(String::from_utf8_lossy(&body), LARGE.to_string());

    let after = page.run("memory()").as_u64().expect("a number");
    println!("memory of the module: {before} bytes before, {after} after");
    assert!(after < MAX_MEMORY, "{before} bytes before, {after} after");
}

#[test]
fn a_visitor_who_does_not_read_stops_the_page_from_producing() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let handler = "() => {
        window.made = 0;
        window.cancelled = new Promise((resolve) => { window.cancel = resolve; });
        return new Response(new ReadableStream({
            pull(controller) { controller.enqueue(new Uint8Array(65536)); made += 65536; },
            cancel(reason) { cancel(String(reason)); },
        }));
    }";
    let host = serve(&page, handler);
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
    visitor.head().expect("an answer");
    // Waits until no more is produced: the bytes in flight are bounded.
    let settled = page.block(
        "let last = -1;
         while (last !== made) { last = made; await new Promise((resolve) => setTimeout(resolve, 500)); }
         return made;",
    );
    let made = settled.as_u64().expect("a number");
    println!("{made} bytes were made for a visitor who reads none");
    assert!(made < LARGE as u64, "{made}");
    drop(visitor);
    page.run("cancelled");
}

#[test]
fn events_reach_a_visitor_one_by_one_and_end_with_it() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let handler = "(request) => {
        window.gone = new Promise((resolve) => request.signal.addEventListener('abort', resolve));
        return new Response(new ReadableStream({
            start(controller) {
                window.publish = (text) => controller.enqueue(new TextEncoder().encode(`data: ${text}\\n\\n`));
            },
        }), { headers: { 'content-type': 'text/event-stream' } });
    }";
    let host = serve(&page, handler);
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for text in ["one", "two", "three"] {
        page.run(&format!("publish('{text}')"));
        let event = visitor.chunk().expect("the event");
        assert_eq!(String::from_utf8_lossy(&event), format!("data: {text}\n\n"));
    }
    drop(visitor);
    page.run("gone.then(() => true)");
    let errors = page.run("tunnel.log.filter((event) => event.kind === 'error').length");
    assert_eq!(errors, 0, "a visitor who leaves is no fault: {}", page.run("tunnel.log"));
}

#[test]
fn a_request_that_is_not_http_is_refused_and_the_tunnel_goes_on() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let host = serve(&page, "() => new Response('ok')");
    let mut visitor = relay.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 400);
    assert_eq!(visit(&relay, &host, "GET", "/").0, 200);
    let refused = page.run("rejection(tunnel.serve('Not A Name', () => new Response()))");
    assert_eq!(refused["code"], "bad_service", "{refused}");
}
