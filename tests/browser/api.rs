//! What a page writes, serves and asks for: every kind of bytes, files, lengths, redirects, codings, roles and ends.

use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use serde_json::{Value, json};

use super::page::{Page, relay_options};

#[test]
fn every_kind_of_bytes_is_written_as_it_is_and_nothing_else_is() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::connected(&relay), Page::connected(&relay)) else { return };
    let own = owner.text("tunnel.address");
    let friend_is = friend.text("tunnel.address");
    owner.run(&format!(
        "tunnel.serveStream('echo', ({{ readable, writable }}) => readable.pipeTo(writable), {{ allow: ['{friend_is}'] }})"
    ));
    let seen = friend.block(&format!(
        "const echo = async (...chunks) => {{
             const {{ readable, writable }} = await tunnel.connectStream('{own}/echo');
             const writer = writable.getWriter();
             const writing = (async () => {{ for (const chunk of chunks) await writer.write(chunk); await writer.close(); }})();
             const [bytes] = await Promise.all([new Response(readable).arrayBuffer(), writing]);
             return [...new Uint8Array(bytes)];
         }};
         const four = new Uint8Array([1, 2, 3, 4]);
         const bad = async (chunk) => {{
             const {{ readable, writable }} = await tunnel.connectStream('{own}/echo');
             const writer = writable.getWriter();
             const {{ name }} = await rejection(writer.write(chunk));
             const {{ code }} = await rejection(readable.getReader().read());
             return [name, code];
         }};
         return [
             await echo('h\\u00e9'), await echo(four), await echo(four.buffer), await echo(new DataView(four.buffer, 1, 2)),
             await echo(new Uint16Array([0x0201, 0x0403])), await echo(new Float32Array([1])), await echo(four.subarray(2)),
             await echo('', new Uint8Array(), 'a', four), await bad(7), await bad({{}}), await bad(null),
         ];"
    ));
    let refused = json!(["TypeError", "stream_lost"]);
    assert_eq!(
        seen,
        json!([
            [104, 195, 169],
            [1, 2, 3, 4],
            [1, 2, 3, 4],
            [2, 3],
            [1, 2, 3, 4],
            [0, 0, 128, 63],
            [3, 4],
            [97, 1, 2, 3, 4],
            refused,
            refused,
            refused
        ])
    );
    assert_eq!(owner.noise(), Vec::<String>::new());
}

#[test]
fn answers_have_their_length_where_it_is_known_and_the_handler_knows_the_visitor() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let url = page.text(
        "tunnel.serve('app', (request, { visitor, from }) => {
             switch (new URL(request.url).pathname) {
                 case '/text': return new Response('h\\u00e9');
                 case '/who': return new Response(`${visitor} ${from}`);
                 case '/bytes': return new Response(new Uint8Array(5));
                 case '/empty': return new Response('');
                 case '/form': return new Response(new URLSearchParams({ a: 'b' }));
                 default: return new Response(new ReadableStream({
                     async pull(controller) {
                         await new Promise((resolve) => setTimeout(resolve, 50));
                         controller.enqueue(new TextEncoder().encode('later'));
                         controller.close();
                     },
                 }));
             }
         })",
    );
    let host = host_of(&url).to_owned();
    let mut visitor = relay.visit();
    let mut ask = |method: &str, target: &str, lines: &[&str]| {
        visitor.send(request(&host, method, target, lines)).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = if method == "HEAD" { Vec::new() } else { visitor.body(&head).expect("a whole answer") };
        (head.field("content-length").map(str::to_owned), String::from_utf8(body).expect("text"))
    };
    for (target, length, body) in [
        ("/text", "3", "hé"),
        ("/bytes", "5", "\0\0\0\0\0"),
        ("/empty", "0", ""),
        ("/form", "3", "a=b"),
        ("/who", "19", "127.0.0.1 undefined"),
    ] {
        assert_eq!(ask("GET", target, &[]), (Some(length.into()), body.into()), "{target}");
    }
    assert_eq!(ask("HEAD", "/text", &[]), (Some("3".into()), String::new()));
    assert_eq!(ask("GET", "/stream", &[]), (None, "later".into()));
    let forged = ["X-Forwarded-For: 192.0.2.1"];
    assert_eq!(ask("GET", "/who", &forged).1, "127.0.0.1 undefined", "what a visitor says of itself");
}

#[test]
fn what_an_identity_says_of_visitors_does_not_reach_the_handler() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::connected(&relay), Page::connected(&relay)) else { return };
    owner.run(
        "tunnel.serve('app', (request, { visitor, from }) => Response.json(
             [visitor ?? null, from, request.headers.get('x-forwarded-for'), request.headers.get('x-own')]))",
    );
    let seen = friend.block(&format!(
        "const headers = {{ 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.1', 'x-own': 'mine' }};
         return (await tunnel.fetch('{}/app', {{ headers }})).json();",
        owner.text("tunnel.address")
    ));
    assert_eq!(seen, json!([null, friend.text("tunnel.address"), null, "mine"]));
}

#[test]
fn a_file_is_served_with_its_length_its_parts_and_its_conditions() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::connected(&relay) else { return };
    let url = page.text(
        "tunnel.serveFile('file', new File(['0123456789'], 'a', { type: 'text/plain', lastModified: 1000 }), { name: 'caf\\u00e9.txt' })",
    );
    let host = host_of(&url).to_owned();
    let mut visitor = relay.visit();
    let mut ask = |method: &str, lines: &[&str]| {
        visitor.send(request(&host, method, "/", lines)).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let bodiless = method == "HEAD" || head.status() == 304;
        let body = if bodiless { Vec::new() } else { visitor.body(&head).expect("a whole answer") };
        (head, String::from_utf8(body).expect("text"))
    };
    let (head, body) = ask("GET", &[]);
    assert_eq!((head.status(), body.as_str()), (200, "0123456789"));
    assert_eq!((head.field("content-length"), head.field("content-type")), (Some("10"), Some("text/plain")));
    assert_eq!(head.field("content-disposition"), Some("attachment; filename*=UTF-8''caf%C3%A9.txt"));
    let etag = head.field("etag").expect("a tag").to_owned();
    for (range, status, part, body) in [
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=8-", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-99", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=0-99", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=-0", 416, Some("bytes */10"), ""),
        ("bytes=4-2", 200, None, "0123456789"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("lines=0-1", 200, None, "0123456789"),
    ] {
        let (head, got) = ask("GET", &[&format!("Range: {range}")]);
        assert_eq!(
            (head.status(), head.field("content-range"), got.as_str()),
            (status, part, body),
            "{range}"
        );
    }
    let (same, other) = (format!("If-None-Match: {etag}"), "If-None-Match: \"other\"".to_owned());
    assert_eq!((ask("GET", &[&same]).0.status(), ask("GET", &[&other]).0.status()), (304, 200));
    let since = |time: &str| format!("If-Modified-Since: {time}");
    assert_eq!(ask("GET", &[&since("Thu, 01 Jan 1970 00:00:01 GMT")]).0.status(), 304);
    assert_eq!(ask("GET", &[&since("Thu, 01 Jan 1970 00:00:00 GMT")]).0.status(), 200);
    let (stale, fresh) = ("If-Range: \"other\"".to_owned(), format!("If-Range: {etag}"));
    assert_eq!(ask("GET", &["Range: bytes=0-0", &stale]).0.status(), 200);
    assert_eq!(ask("GET", &["Range: bytes=0-0", &fresh]).0.status(), 206);
    let (head, _) = ask("HEAD", &[]);
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
    assert_eq!(ask("POST", &["Content-Length: 0"]).0.status(), 405);
}

#[test]
fn redirects_lead_on_within_the_tunnel_and_compressed_bodies_are_decoded() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(friend)) = (Page::connected(&relay), Page::connected(&relay)) else { return };
    owner.block(
        "await tunnel.serve('app', async (request) => {
             const { pathname, searchParams } = new URL(request.url);
             const to = (status, location) => ({ status, headers: { location } });
             switch (pathname) {
                 case '/to': return to(Number(searchParams.get('status')), '/end');
                 case '/loop': return to(302, '/loop');
                 case '/away': return to(302, 'https://elsewhere.example/');
                 case '/other': return to(302, searchParams.get('at'));
                 case '/packed': return {
                     headers: { 'content-encoding': 'gzip' },
                     body: new Blob(['packed '.repeat(1000)]).stream().pipeThrough(new CompressionStream('gzip')),
                 };
                 default: return Response.json([request.method, await request.text(), request.headers.get('authorization')]);
             }
         });
         await tunnel.serve('second', (request) => Response.json(['second', request.headers.get('authorization')]));",
    );
    let seen = friend.block(&format!(
        "const own = '{}';
         const app = `${{own}}/app`;
         const post = async (status, init = {{}}) => {{
             const response = await tunnel.fetch(`${{app}}/to?status=${{status}}`, {{ method: 'POST', body: 'x', ...init }});
             return [response.redirected, new URL(response.url).pathname, ...await response.json()];
         }};
         const manual = await tunnel.fetch(app, '/to?status=301', {{ redirect: 'manual' }});
         const packed = await (await tunnel.fetch(`${{app}}/packed`)).text();
         const long = new URL(manual.url);
         const elsewhere = long.origin.replace('//app.', '//second.') + '/';
         const other = await tunnel.fetch(`${{app}}/other?at=${{encodeURIComponent(elsewhere)}}`, {{ headers: {{ authorization: 'secret' }} }});
         const request = new Request(new URL('/end', long), {{ method: 'PUT', body: 'of a request' }});
         return [
             await post(302), await post(303), await post(307), (await rejection(post(308, {{ body: bodyOf(1), duplex: 'half' }}))).name,
             [manual.status, manual.headers.get('location'), manual.redirected],
             (await rejection(tunnel.fetch(app, '/loop'))).name, (await rejection(tunnel.fetch(app, '/away'))).code,
             (await rejection(tunnel.fetch(app, '/loop', {{ redirect: 'error' }}))).name,
             packed === 'packed '.repeat(1000), await other.json(), await (await tunnel.fetch(request)).json(),
         ];",
        owner.text("tunnel.address")
    ));
    assert_eq!(
        seen,
        json!([
            [true, "/end", "GET", "", null],
            [true, "/end", "GET", "", null],
            [true, "/end", "POST", "x", null],
            "TypeError",
            [301, "/end", false],
            "TypeError",
            "redirected_away",
            "TypeError",
            true,
            ["second", null],
            ["PUT", "of a request", null]
        ])
    );
}

#[test]
fn a_tunnel_tells_when_it_is_open_and_why_it_has_ended() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let seen = page.block(&format!(
        "const options = {{ {}, identity: Identity.generate() }};
         const tunnel = new Tunnel(options);
         const up = await tunnel.opened;
         await tunnel[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
         const {{ code }} = await tunnel.closed;
         const never = new Tunnel({{ ...options, relay: 'no url' }});
         const bad = (limits) => rejection(new Tunnel({{ ...options, limits }}).opened).then(({{ name }}) => name);
         return [up.relayAddress === tunnel.relayAddress, code, tunnel.state, (await rejection(never.opened)).code,
             (await never.closed).code, await bad({{ inbound: 0 }}), await bad({{ outbound: 1025 }}), await bad({{ requestHead: 0 }})];",
        relay_options(&relay)
    ));
    let range = "RangeError";
    assert_eq!(seen, json!([true, "closed", "disconnected", "bad_relay", "bad_relay", range, range, range]));
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_page_that_only_reaches_others_logs_in_for_that_alone() {
    let relay = Relay::start(&[]);
    let (Some(owner), Some(page)) = (Page::connected(&relay), Page::open()) else { return };
    owner.run("tunnel.serve('app', () => new Response('ok'))");
    let seen = page.block(&format!(
        "const own = await Identity.generate();
         const claims = [];
         const identity = {{ address: own.address, async sign(bytes) {{
             claims.push(JSON.parse(atob(new TextDecoder().decode(bytes).split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))));
             return own.sign(bytes);
         }} }};
         const caller = await Tunnel.connect({{ {options}, identity, role: 'caller' }});
         const agent = await Tunnel.connect({{ {options}, identity }});
         const text = await (await caller.fetch('{}/app')).text();
         const refused = await rejection(caller.serve('mine', () => new Response()));
         return [text, refused.code, claims.map(({{ scope, services }}) => [scope, services])];",
        owner.text("tunnel.address"),
        options = relay_options(&relay),
    ));
    assert_eq!(seen, json!(["ok", "not_allowed", [["call", []], ["agent", []]]]));
}

#[test]
fn an_address_that_is_not_the_relays_to_give_is_not_shown() {
    let relay = Relay::start(&["--domain", "tunnel.example"]);
    let Some(page) = Page::open() else { return };
    let connect = |options: &str| -> Value {
        page.block(&format!(
            "const tunnel = watch(new Tunnel({{ {options}, identity: Identity.generate() }}));
             const up = await tunnel.opened;
             const served = await tunnel.serve('app', () => new Response()).catch(({{ code }}) => code);
             return [up.url ?? null, tunnel.url ?? null, served, tunnel.log.filter(({{ kind }}) => kind === 'error').map(({{ code }}) => code)];"
        ))
    };
    let unknown = connect(&format!("relay: '{}'", relay.url()));
    assert_eq!(unknown, json!([null, null, "foreign_url", ["foreign_url"]]));
    let known = connect(&relay_options(&relay));
    assert!(known[2].as_str().is_some_and(|url| url.contains("tunnel.example")), "{known}");
    assert_eq!(known[3], json!([]));
}
