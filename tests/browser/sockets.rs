//! WebSockets and event streams of a tab, beside what the web-platform-tests say of the browser's own.

use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use serde_json::json;

use super::page::Page;

/// A tab with a service `ws` of WebSockets and `sse` of events, and one that knows the first's address as `owner`.
fn pair(relay: &Relay) -> Option<(Page, Page)> {
    let (owner, friend) = (Page::connected(relay)?, Page::connected(relay)?);
    owner.block(
        "window.closes = [];
         window.upgraded = (request, { upgrade }) => {
             const offered = request.headers.get('sec-websocket-protocol');
             const { response, socket } = upgrade(offered ? { protocol: offered.split(', ')[1] } : {});
             socket.binaryType = 'arraybuffer';
             socket.onmessage = ({ data }) => {
                 if (data === 'bye') socket.close(4001, 'as you like');
                 else socket.send(data);
             };
             socket.onclose = ({ code, reason, wasClean }) => closes.push([code, reason, wasClean]);
             return response;
         };
         window.url = await tunnel.serve('ws', (request, context) => upgraded(request, context));",
    );
    friend.run(&format!("window.owner = '{}', 0", owner.text("tunnel.address")));
    Some((owner, friend))
}

#[test]
fn a_socket_has_the_states_events_and_errors_of_the_browsers_own() {
    let relay = Relay::start(&[]);
    let Some((owner, page)) = pair(&relay) else { return };
    let seen = page.block(
        "const socket = tunnel.webSocket(`${owner}/ws/chat?room=1`, ['one', 'two']);
         const before = [socket.readyState, socket.binaryType, socket.protocol, socket.extensions, socket.bufferedAmount];
         const early = (() => { try { socket.send('x'); } catch ({ name }) { return name; } })();
         await new Promise((resolve) => { socket.onopen = resolve; });
         const during = [socket.readyState, socket.protocol, new URL(socket.url).pathname, new URL(socket.url).protocol];
         socket.binaryType = 'arraybuffer';
         const received = [];
         const bytes = new Uint8Array([1, 2, 3, 4]);
         const sent = ['text', 'h\\u00e9 \\u{1f600}', '', bytes, bytes.buffer, new DataView(bytes.buffer, 1, 2),
             new Uint16Array([258]), new Blob(['blob']), 'after the blob', 'x'.repeat(200000)];
         const all = new Promise((resolve) => {
             socket.onmessage = ({ data }) => {
                 received.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
                 if (received.length === sent.length) resolve();
             };
         });
         for (const message of sent) socket.send(message);
         const buffered = socket.bufferedAmount > 200000;
         await all;
         received[9] = received[9].length;
         const closed = new Promise((resolve) => {
             socket.onclose = ({ code, reason, wasClean }) => resolve([code, reason, wasClean]);
         });
         const bad = [[999], [1001], [2999], [5000], [3000, 'x'.repeat(124)]].map((all) => {
             try { socket.close(...all); } catch ({ name }) { return name; }
         });
         socket.close(3000, 'enough');
         const closing = socket.readyState;
         socket.send('too late');
         const late = socket.bufferedAmount;
         return [before, early, during, received, buffered, bad, closing, late, await closed, socket.readyState];",
    );
    assert_eq!(
        seen,
        json!([
            [0, "blob", "", "", 0],
            "InvalidStateError",
            [1, "two", "/chat", "ws:"],
            [
                "text",
                "hé 😀",
                "",
                [1, 2, 3, 4],
                [1, 2, 3, 4],
                [2, 3],
                [2, 1],
                [98, 108, 111, 98],
                "after the blob",
                200_000
            ],
            true,
            [
                "InvalidAccessError",
                "InvalidAccessError",
                "InvalidAccessError",
                "InvalidAccessError",
                "SyntaxError"
            ],
            2,
            8,
            // The answer to a close has its code alone.
            [3000, "", true],
            3
        ])
    );
    assert_eq!(owner.run("closes"), json!([[3000, "enough", true]]));
    assert_eq!((owner.noise(), page.noise()), (vec![], vec![]));
}

#[test]
fn a_socket_that_the_other_side_closes_or_refuses_says_so() {
    let relay = Relay::start(&[]);
    let Some((owner, page)) = pair(&relay) else { return };
    owner.run("tunnel.serve('plain', () => new Response('no socket'))");
    let seen = page.block(
        "const ending = (socket, onopen) => new Promise((resolve) => {
             const seen = [];
             socket.onopen = onopen;
             socket.onerror = () => seen.push('error');
             socket.onclose = ({ code, reason, wasClean }) => resolve([...seen, code, reason, wasClean, socket.readyState]);
         });
         const bye = tunnel.webSocket(`${owner}/ws`);
         const thrown = (call) => { try { call(); } catch ({ name, code }) { return name === 'TunnelError' ? code : name; } };
         const early = tunnel.webSocket(`${owner}/ws`);
         const closedEarly = ending(early);
         early.close();
         return [
             await ending(bye, () => bye.send('bye')),
             await ending(tunnel.webSocket(`${owner}/plain`)),
             await ending(tunnel.webSocket(`${owner}/nothing`)),
             await closedEarly,
             thrown(() => tunnel.webSocket('nowhere')),
             thrown(() => tunnel.webSocket(`${owner}/ws`, ['a', 'a'])),
             thrown(() => tunnel.webSocket(`${owner}/ws`, 'a b')),
             thrown(() => tunnel.webSocket(`${owner}/ws#x`)),
         ];",
    );
    assert_eq!(
        seen,
        json!([
            [4001, "as you like", true, 3],
            ["error", 1006, "", false, 3],
            ["error", 1006, "", false, 3],
            ["error", 1006, "", false, 3],
            "bad_target",
            "SyntaxError",
            "SyntaxError",
            "SyntaxError"
        ])
    );
}

#[test]
fn a_visitor_has_a_websocket_with_a_tab_and_one_that_leaves_ends_it() {
    let relay = Relay::start(&[]);
    let Some((owner, _friend)) = pair(&relay) else { return };
    let host = host_of(&owner.text("url")).to_owned();
    let mut visitor = relay.visit();
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    visitor.send(request(&host, "GET", "/", &fields)).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!(head.status(), 101, "{head:?}");
    // The example of RFC 6455 section 1.3.
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // "Hello", masked with zeros.
    visitor.send(b"\x81\x85\0\0\0\0Hello").expect("the relay reads");
    assert_eq!(visitor.take(7).expect("an echo"), b"\x81\x05Hello");
    // A frame with a reserved bit ends it.
    visitor.send(b"\xf1\x80\0\0\0\0").expect("the relay reads");
    assert_eq!(visitor.take(4).expect("a close"), b"\x88\x02\x03\xea");
    drop(visitor);
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/", &fields)).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 101);
    visitor.reset();
    let closes = owner.block(
        "while (closes.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
         return closes;",
    );
    assert_eq!(closes, json!([[1006, "", false], [1006, "", false]]));
    let mut visitor = relay.visit();
    visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
    assert_eq!(
        visitor.head().expect("an answer").status(),
        500,
        "a handler that upgrades what is no handshake"
    );
}

#[test]
fn events_have_the_lines_types_and_ids_that_the_standard_says() {
    let relay = Relay::start(&[]);
    let Some((owner, page)) = pair(&relay) else { return };
    // The lines come in pieces that cut every end of a line.
    owner.block(
        "const text = '\\ufeffdata:one\\n\\n' + ': a comment\\ndata: two\\r\\ndata:  lines\\r\\n\\r\\n' + 'id: 7\\revent: named\\rdata\\r\\r'
             + 'data: no id change\\nid: a\\0b\\n\\n' + 'retry: 10\\nevent: nothing\\n\\n' + 'data: h\\u00e9\\nunknown: x\\n\\n' + 'data: unfinished';
         window.asked = [];
         await tunnel.serve('sse', (request) => {
             asked.push([request.headers.get('last-event-id'), request.headers.get('accept')]);
             if (asked.length === 3) return new Response(null, { status: 204 });
             const bytes = new TextEncoder().encode(asked.length === 1 ? text : 'data: again\\n\\n');
             return new Response(new ReadableStream({
                 async start(controller) {
                     for (const byte of bytes) {
                         controller.enqueue(new Uint8Array([byte]));
                         if (byte === 13) await new Promise((resolve) => setTimeout(resolve, 5));
                     }
                     controller.close();
                 },
             }), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
         });",
    );
    let seen = page.block(
        "const source = tunnel.eventSource(`${owner}/sse/feed`);
         const seen = [[source.readyState, new URL(source.url).pathname, source.withCredentials]];
         const note = ({ type, data, lastEventId }) => seen.push([type, data, lastEventId]);
         for (const type of ['message', 'named', 'nothing']) source.addEventListener(type, note);
         source.onopen = () => seen.push(['open', source.readyState]);
         await new Promise((resolve) => {
             source.onerror = () => { seen.push(['error', source.readyState]); if (source.readyState === 2) resolve(); };
         });
         return seen;",
    );
    assert_eq!(
        seen,
        json!([
            [0, "/feed", false],
            ["open", 1],
            ["message", "one", ""],
            ["message", "two\n lines", ""],
            ["named", "", "7"],
            ["message", "no id change", "7"],
            ["message", "hé", "7"],
            ["error", 0],
            ["open", 1],
            ["message", "again", "7"],
            ["error", 0],
            ["error", 2]
        ])
    );
    let events = "text/event-stream";
    assert_eq!(owner.run("asked"), json!([[null, events], ["7", events], ["7", events]]));
}
