//! Downloads through a bridge that break off in the middle: what is asked for then, and what a page gets.

use std::sync::mpsc::{Receiver, Sender, channel};

use data_encoding::HEXLOWER;
use hvym_tunnel_tests::chromium::Tab;
use hvym_tunnel_tests::engines::{Engine, Opened};
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer};
use hvym_tunnel_tests::program::PATIENCE;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::page::{Page, byte_at};
use super::private::{Private, nobody};

/// Gives a response in pieces, each of which breaks or ends, and says what was got, what was asked for, and how it ended.
const DOWNLOAD: &str = "
    const { resumable } = await import('/package/bridge-resume.js');
    const response = ({ status = 206, text = '', isBroken = true, headers }) => {
        const chunks = [...text].map((letter) => new TextEncoder().encode(letter));
        const pull = (controller) => {
            const chunk = chunks.shift();
            if (chunk) controller.enqueue(chunk);
            else if (isBroken) controller.error(new Error('lost'));
            else controller.close();
        };
        return { status, headers: new Headers(headers), body: new ReadableStream({ pull }, { highWaterMark: 0 }) };
    };
    const asked = [];
    const ask = async (fields) => {
        asked.push(fields.range, fields['if-range']);
        const next = input.rest.shift();
        if (!next) throw new Error('away');
        return response(next);
    };
    let got = '';
    try {
        for await (const chunk of resumable(response(input.first), ask)) got += new TextDecoder().decode(chunk);
        return [got, 'whole', asked];
    } catch ({ message }) {
        return [got, message, asked];
    }";

/// The first twelve of twenty letters, with these fields beside their number.
fn first(more: Value) -> Value {
    let mut headers = json!({"accept-ranges": "bytes", "content-length": "20"});
    headers.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"status": 200, "text": "abcdefghijkl", "headers": headers})
}

/// A part of them, as `Content-Range` says it, with this text.
fn rest(range: &str, text: &str, is_broken: bool) -> Value {
    json!({"text": text, "isBroken": is_broken, "headers": {"etag": "\"v\"", "content-range": format!("bytes {range}")}})
}

/// One that is right.
fn right() -> Value {
    rest("12-19/20", "mnopqrst", false)
}

#[test]
fn the_rest_of_a_download_is_asked_for_by_its_validator() {
    let Some(page) = Page::open() else { return };
    let tagged = || first(json!({"etag": "\"v\""}));
    let whole = |asked: &[&str]| json!(["abcdefghijklmnopqrst", "whole", asked]);
    let wanted = ["bytes=12-19", "\"v\""];
    let dated = |date: &str| {
        let headers = json!({"last-modified": "Mon, 30 Nov 2026 10:00:00 GMT", "date": date, "content-range": "bytes 12-19/20"});
        let rest = json!({"text": "mnopqrst", "isBroken": false, "headers": headers});
        json!({"first": first(headers), "rest": [rest]})
    };
    let cases = [
        (json!({"first": tagged(), "rest": [right()]}), whole(&wanted)),
        // By its date, if nothing can have changed in the same second after it.
        (dated("Mon, 30 Nov 2026 10:00:01 GMT"), whole(&["bytes=12-19", "Mon, 30 Nov 2026 10:00:00 GMT"])),
        // The rest breaks in turn, or is less than was asked for.
        (
            json!({"first": tagged(), "rest": [rest("12-19/20", "mn", true), rest("14-19/20", "opqrst", false)]}),
            whole(&["bytes=12-19", "\"v\"", "bytes=14-19", "\"v\""]),
        ),
        (
            json!({"first": tagged(), "rest": [rest("12-13/20", "mn", false), rest("14-19/*", "opqrst", false)]}),
            whole(&["bytes=12-19", "\"v\"", "bytes=14-19", "\"v\""]),
        ),
        // The service is away for four times.
        (json!({"first": tagged(), "rest": [null, null, null, null, right()]}), whole(&wanted.repeat(5))),
        // All of it was there.
        (
            json!({"first": {"status": 200, "text": "ab", "headers": {"accept-ranges": "bytes", "content-length": "2", "etag": "\"v\""}}, "rest": []}),
            json!(["ab", "whole", []]),
        ),
        // A part was asked for to begin with.
        (
            json!({"first": rest("5-9/20", "fg", true), "rest": [rest("7-9/20", "hij", false)]}),
            json!(["fghij", "whole", ["bytes=7-9", "\"v\""]]),
        ),
        // Nothing had come, so all of it is the rest.
        (
            json!({"first": {"status": 200, "headers": {"accept-ranges": "bytes", "content-length": "2", "etag": "\"v\""}},
                "rest": [{"status": 200, "text": "ab", "isBroken": false, "headers": {"accept-ranges": "bytes", "etag": "\"v\""}}]}),
            json!(["ab", "whole", ["bytes=0-1", "\"v\""]]),
        ),
        // Nobody knows how long it is.
        (
            json!({"first": {"status": 200, "text": "ab", "headers": {"accept-ranges": "bytes", "etag": "\"v\""}}, "rest": [rest("2-3/4", "cd", false)]}),
            json!(["abcd", "whole", ["bytes=2-", "\"v\""]]),
        ),
    ];
    for (input, outcome) in cases {
        assert_eq!(page.block(&format!("const input = {input}; {DOWNLOAD}")), outcome, "{input}");
    }
}

#[test]
fn a_download_that_cannot_be_told_from_another_breaks_as_it_came() {
    let Some(page) = Page::open() else { return };
    let broken = |asked: &[&str]| json!(["abcdefghijkl", "lost", asked]);
    let dates = |date: &str| json!({"last-modified": "Mon, 30 Nov 2026 10:00:00 GMT", "date": date});
    let tag = json!({"etag": "\"v\""});
    // Nothing is asked for by a validator that is weak, or for what has none.
    let mut never = vec![
        first(json!({})),
        first(json!({"etag": "W/\"v\""})),
        first(dates("Mon, 30 Nov 2026 10:00:00 GMT")),
        first(json!({"last-modified": "Mon, 30 Nov 2026 10:00:00 GMT"})),
        first(
            json!({"etag": "W/\"v\"", "last-modified": "Mon, 30 Nov 2026 10:00:00 GMT", "date": "Mon, 30 Nov 2026 11:00:00 GMT"}),
        ),
        first(json!({"etag": "\"v\"", "accept-ranges": "none"})),
        first(json!({"etag": "\"v\"", "content-encoding": "gzip"})),
        first(tag.clone()),
    ];
    never[7]["status"] = json!(203);
    for first in never {
        let input = json!({"first": first, "rest": [right()]});
        assert_eq!(page.block(&format!("const input = {input}; {DOWNLOAD}")), broken(&[]), "{input}");
    }
    let wanted = ["bytes=12-19", "\"v\""];
    let other = |member: &str, value: Value| {
        let mut rest = right();
        rest["headers"][member] = value;
        rest
    };
    let mut replaced = right();
    replaced["status"] = json!(200);
    for rest in [
        other("etag", json!("\"w\"")),
        other("content-range", json!("bytes 11-19/20")),
        other("content-range", json!("bytes 12-20/21")),
        other("content-range", json!("bytes 12-19/21")),
        other("content-encoding", json!("gzip")),
        replaced,
    ] {
        let input = json!({"first": first(tag.clone()), "rest": [rest, right()]});
        assert_eq!(page.block(&format!("const input = {input}; {DOWNLOAD}")), broken(&wanted), "{input}");
    }
    let input = json!({"first": rest("5-9/20", "fg", true), "rest": [rest("7-10/20", "hijk", false)]});
    let outcome = json!(["fg", "lost", ["bytes=7-9", "\"v\""]]);
    assert_eq!(page.block(&format!("const input = {input}; {DOWNLOAD}")), outcome, "{input}");
    let input = json!({"first": first(tag), "rest": [null, null, null, null, null, right()]});
    assert_eq!(
        page.block(&format!("const input = {input}; {DOWNLOAD}")),
        broken(&wanted.repeat(5)),
        "{input}"
    );
}

#[test]
fn attempts_are_counted_anew_as_long_as_a_download_goes_on() {
    let Some(page) = Page::open() else { return };
    // Eight pieces, of which each breaks at its end.
    let pieces = |size: usize| {
        page.block(&format!(
            "const {{ resumable }} = await import('/package/bridge-resume.js');
             let at = 0;
             let asked = 0;
             const response = () => {{
                 const headers = new Headers({{ etag: '\"v\"', 'content-range': `bytes ${{at}}-${{8 * {size} - 1}}/*` }});
                 const chunks = [new Uint8Array({size})];
                 const pull = (controller) => (chunks.length > 0 ? controller.enqueue(chunks.pop()) : controller.error(new Error('lost')));
                 at += {size};
                 return {{ status: 206, headers, body: new ReadableStream({{ pull }}, {{ highWaterMark: 0 }}) }};
             }};
             const body = resumable(response(), async () => ((asked += 1), response()));
             const length = await new Response(body).arrayBuffer().then(({{ byteLength }}) => byteLength, () => 'lost');
             return [length, asked];"
        ))
    };
    let mebibyte = 1024 * 1024;
    assert_eq!(pieces(mebibyte), json!([8 * mebibyte, 7]));
    assert_eq!(pieces(mebibyte - 1), json!(["lost", 5]));
}

#[test]
fn a_download_that_is_left_while_it_is_away_asks_for_no_more() {
    let Some(page) = Page::open() else { return };
    let seen = page.block(
        "const { resumable } = await import('/package/bridge-resume.js');
         const response = (isBroken) => {
             let isLeft = false;
             const pull = (controller) => isBroken && controller.error(new Error('lost'));
             const body = new ReadableStream({ pull, cancel: () => { isLeft = true; } }, { highWaterMark: 0 });
             const headers = new Headers({ etag: '\"v\"', 'content-range': 'bytes 0-19/20' });
             return { status: 206, headers, body, isLeft: () => isLeft };
         };
         const rest = response(false);
         const asked = Promise.withResolvers();
         const answered = Promise.withResolvers();
         let count = 0;
         const ask = () => { count += 1; asked.resolve(); return answered.promise; };
         const reader = resumable(response(true), ask).getReader();
         const read = reader.read();
         await asked.promise;
         await reader.cancel();
         answered.resolve(rest);
         await read;
         while (!rest.isLeft()) await new Promise((resolve) => setTimeout(resolve));
         const aborted = await rejection(resumable(response(true), ask, AbortSignal.abort()).getReader().read());
         return [count, aborted.message];",
    );
    assert_eq!(seen, json!([1, "lost"]));
}

#[test]
fn the_rest_is_asked_for_without_the_conditions_of_the_first_request() {
    let Some(page) = Page::open() else { return };
    let seen = page.block(
        "const { fieldsOf } = await import('/package/bridge-request.js');
         const names = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'];
         const request = new Request('/', { headers: Object.fromEntries(names.map((name) => [name, '\"v\"'])) });
         const from = { host: 'a', origin: 'http://a', cookie: '' };
         const fields = [undefined, { range: 'bytes=1-', 'if-range': '\"v\"' }].map((rest) => fieldsOf(request, { ...from, rest }));
         return fields.map((fields) => [names.filter((name) => fields.has(name)).length, fields.get('range'), fields.get('if-range')]);",
    );
    assert_eq!(seen, json!([[4, null, null], [0, "bytes=1-", "\"v\""]]));
}

/// What the file has, of which the first connection gives half and no more.
const SIZE: usize = 4 * 1024 * 1024;
const TAG: &str = "\"one\"";
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>download</title><script type="module">
const tell = (said) => fetch("/told", { method: "POST", body: JSON.stringify(said) });
try {
  const reader = (await fetch("/file")).body.getReader();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const before = size;
    size += value.length;
    chunks.push(value);
    if (before < 1048576 && size >= 1048576) tell({ size });
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await new Blob(chunks).arrayBuffer()));
  await tell({ size, digest: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") });
} catch (error) {
  await tell({ error: String(error) });
}
</script>
"#;

fn content() -> Vec<u8> {
    (0..SIZE).map(byte_at).collect()
}

/// A server of the page and the file, and what the page and the requests for the file tell.
fn server() -> (Origin, Receiver<Value>) {
    let (told, tells) = channel();
    (Origin::start(move |connection| serve(connection, &told)), tells)
}

fn serve(mut connection: Conversation, told: &Sender<Value>) -> std::io::Result<()> {
    loop {
        let head = connection.head()?;
        let body = connection.body(&head)?;
        let reply = match head.target() {
            "/file" if head.field("range").is_none() => {
                let fields = format!("Accept-Ranges: bytes\r\nETag: {TAG}\r\nContent-Length: {SIZE}");
                connection.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"))?;
                connection.send(&content()[..SIZE / 2])?;
                // Until the agent has lost the relay.
                return connection.rest().map(drop);
            }
            "/file" => rest_of_file(&head, told),
            "/told" => {
                // A test that has failed already hears nothing.
                let _unheard = told.send(serde_json::from_slice(&body).unwrap_or_default());
                answer("204 No Content", &[], b"")
            }
            _ => answer("200 OK", &[("Content-Type", "text/html")], PAGE.as_bytes()),
        };
        connection.send(reply)?;
    }
}

fn rest_of_file(head: &Head, told: &Sender<Value>) -> Vec<u8> {
    let _unheard = told.send(json!({"range": head.field("range"), "if-range": head.field("if-range")}));
    let range = head.field("range").and_then(|range| range.strip_prefix("bytes="));
    let from = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(SIZE);
    let range = format!("bytes {from}-{}/{SIZE}", SIZE - 1);
    answer("206 Partial Content", &[("Content-Range", &range), ("ETag", TAG)], &content()[from..])
}

/// A browser in which the link was opened.
#[expect(dead_code, reason = "they are kept for what their ends do")]
enum Shown {
    Tab(Tab),
    Browser(Opened),
}

fn show(engine: Engine, private: &Private) -> Option<Shown> {
    let link = private.link("app");
    if engine != Engine::Chromium {
        return engine.open(&link).map(Shown::Browser);
    }
    let tab = private.chromium.open("about:blank");
    tab.follow(&link);
    Some(Shown::Tab(tab))
}

/// Breaks a download in the middle by `lose`, and sees it go on.
fn goes_on(engine: Engine, seed: u8, lose: impl FnOnce(Private) -> Private) {
    let (origin, tells) = server();
    let Some(private) = Private::of(seed, origin.port) else { return };
    let Some(_shown) = show(engine, &private) else { return };
    let next = || tells.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{engine:?} says nothing"));
    let half = next();
    assert!(half["size"].as_u64() >= Some(1024 * 1024), "{engine:?}: {half}");
    let _private = lose(private);
    let asked = next();
    assert_eq!(asked["if-range"], TAG, "{engine:?}: {asked}");
    let range = asked["range"].as_str().unwrap_or_default();
    let end = format!("-{}", SIZE - 1);
    assert!(range.ends_with(&end) && range != format!("bytes=0{end}"), "{engine:?}: {range}");
    let digest = ring::digest::digest(&ring::digest::SHA256, &content());
    assert_eq!(next(), json!({"size": SIZE, "digest": HEXLOWER.encode(digest.as_ref())}), "{engine:?}");
}

#[test]
fn a_download_goes_on_when_the_relay_was_restarted_in_the_middle() {
    for (engine, seed) in [(Engine::Chromium, 91), (Engine::Firefox, 92)] {
        goes_on(engine, seed, |mut private| {
            private.relay = private.relay.restart(&[]);
            private
        });
    }
}

#[test]
fn a_download_goes_on_when_the_agent_of_the_service_was_restarted_in_the_middle() {
    goes_on(Engine::Chromium, 94, |mut private| {
        // It says goodbye, so that the relay has nobody for the service.
        let mut agent = private.agent.take().expect("it runs");
        agent.program.signal(Signal::INT);
        agent.program.signal(Signal::INT);
        agent.program.code();
        private.let_in(&nobody().to_string());
        private
    });
}
