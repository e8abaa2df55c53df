//! Mixed use of two tabs over a long time: all of it is answered, and what the tabs hold does not grow.
//!
//! With `HVYM_SOAK_MINUTES=30` it goes on for so long, and prints what they hold each minute; without it some rounds pass.

use std::time::{Duration, Instant};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use serde_json::Value;

use super::page::{Page, relay_options};

/// Rounds after which the module's memory has its size: the most that is under way at once.
const WARM_UP: usize = 20;
/// Rounds that follow if nobody asks for more.
const ROUNDS: usize = 40;
/// What the module's memory of a tab may grow by after that.
const MAX_GROWTH: u64 = 256 * 1024;
/// What scripts of a tab may hold, uncollected garbage included: nobody collects it for this test.
const MAX_HEAP: u64 = 96 * 1024 * 1024;

/// What one tab serves.
const SERVES: &str = "
    await tunnel.serveFile('file', new Blob([bytesFrom(0, 200_000)]));
    await tunnel.serveStream('bytes', ({ readable, writable }) => readable.pipeTo(writable), { allow: [friend] });
    return tunnel.serve('app', async (request, { upgrade }) => {
        const { pathname } = new URL(request.url);
        if (pathname === '/echo') return new Response(await request.arrayBuffer());
        if (pathname === '/large') return new Response(bodyOf(1 << 20));
        if (pathname === '/throws') throw new Error('a fault of the page');
        if (pathname === '/never') return new Promise((_, reject) => request.signal.addEventListener('abort', reject));
        if (pathname === '/events') return new Response('data: one\\n\\n', { headers: { 'content-type': 'text/event-stream' } });
        if (pathname !== '/socket') return new Response('ok');
        const { response, socket } = upgrade();
        socket.onmessage = ({ data }) => socket.send(data);
        return response;
    });";

/// What the other one asks for in a round, all at once. `owner` serves the above, and `native` is a service behind a native agent.
const ROUND: &str = "
    const ask = (path, init) => tunnel.fetch(`${owner}/app`, path, init);
    const event = (target, kind) => new Promise((resolve) => target.addEventListener(kind, resolve, { once: true }));
    const same = (seen, wanted) => { if (seen !== wanted) throw new Error(`${seen} in place of ${wanted}`); };
    const uses = [
        async () => { for (let i = 0; i < 20; i += 1) same(await (await ask('/')).text(), 'ok'); },
        async () => { for (let i = 0; i < 20; i += 1) same(await (await tunnel.fetch(native)).text(), 'ok'); },
        async () => same((await (await ask('/echo', { method: 'POST', body: bytesFrom(0, 100_000) })).arrayBuffer()).byteLength, 100_000),
        async () => same(await check((await ask('/echo', { method: 'POST', body: bodyOf(300_000) })).body), 300_000),
        async () => same(await check((await ask('/large')).body), 1 << 20),
        // Left in the middle, and not read at all.
        async () => { const reader = (await ask('/large')).body.getReader(); same((await reader.read()).done, false); await reader.cancel(); },
        async () => same((await ask('/')).status, 200),
        async () => same((await ask('/throws')).status, 500),
        async () => {
            const abort = new AbortController();
            const asked = rejection(ask('/never', { signal: abort.signal }));
            await new Promise((resolve) => setTimeout(resolve));
            abort.abort();
            same((await asked).name, 'AbortError');
        },
        async () => same((await rejection(tunnel.fetch(`${owner}/nothing`))).code, 'not_reachable'),
        async () => same((await (await tunnel.fetch(`${owner}/file`, { headers: { range: 'bytes=100-199' } })).arrayBuffer()).byteLength, 100),
        async () => {
            const events = tunnel.eventSource(`${owner}/app/events`);
            same((await event(events, 'message')).data, 'one');
            events.close();
        },
        async () => {
            const socket = tunnel.webSocket(`${owner}/app/socket`);
            await event(socket, 'open');
            socket.send('x'.repeat(10_000));
            same((await event(socket, 'message')).data.length, 10_000);
            socket.close();
            await event(socket, 'close');
        },
        async () => {
            const { readable, writable } = await tunnel.connectStream(`${owner}/bytes`);
            const writer = writable.getWriter();
            await writer.write('over');
            await writer.close();
            same(await new Response(readable).text(), 'over');
        },
    ];
    await Promise.all(uses.map((use) => use()));
    return 52;";

/// A relay with a native agent, and two tabs of which one serves.
struct Use {
    relay: Relay,
    tabs: [Page; 2],
    host: String,
    answered: u64,
    _agent: Agent,
}

impl Use {
    fn start() -> Option<Self> {
        let relay = Relay::start(&[]);
        let key = Key::from_seed([54; 32]);
        let agent =
            Agent::start_in(Home::of(&key), &relay, Origin::saying(b"ok").port, &["--service", "api"]);
        let tabs = [Page::open()?, Page::open()?];
        // Without a log of its events, which would grow.
        let connect = format!(
            "window.tunnel = await Tunnel.connect({{ {}, identity: Identity.generate() }});",
            relay_options(&relay)
        );
        for tab in &tabs {
            tab.block(&connect);
        }
        let friend = tabs[1].text("tunnel.address");
        let url = tabs[0].block(&format!("const friend = '{friend}'; {SERVES}"));
        let owner = tabs[0].text("tunnel.address");
        let native = format!("{}/api", key.address());
        tabs[1].block(&format!("Object.assign(window, {{ owner: '{owner}', native: '{native}' }});"));
        let host = host_of(url.as_str().expect("a URL")).to_owned();
        Some(Use { relay, tabs, host, answered: 0, _agent: agent })
    }

    /// Everything once, and a visitor from outside.
    fn round(&mut self) {
        self.answered += self.tabs[1].block(ROUND).as_u64().expect("a number");
        let mut visitor = self.relay.visit();
        for _ in 0..4 {
            visitor.send(request(&self.host, "GET", "/", &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(visitor.body(&head).expect("a whole answer"), b"ok", "{head:?}");
            self.answered += 1;
        }
    }

    /// Bytes of the module's memory in each tab, and of its scripts.
    fn held(&self) -> [[u64; 2]; 2] {
        self.tabs.each_ref().map(|tab| {
            let seen = tab.block("return [await memory(), performance.memory.usedJSHeapSize];");
            [0, 1].map(|at| Value::as_u64(&seen[at]).expect("a number"))
        })
    }
}

#[test]
fn mixed_use_of_two_tabs_is_answered_and_leaves_nothing_behind() {
    let Some(mut tabs) = Use::start() else { return };
    let minutes: Option<u64> =
        std::env::var("HVYM_SOAK_MINUTES").ok().map(|text| text.parse().expect("a number"));
    (0..WARM_UP).for_each(|_| tabs.round());
    let warm = tabs.held();
    if let Some(minutes) = minutes {
        let began = Instant::now();
        println!("0: {} answers, {warm:?}", tabs.answered);
        for minute in 1..=minutes {
            while began.elapsed() < Duration::from_secs(60 * minute) {
                tabs.round();
            }
            println!("{minute}: {} answers, {:?}", tabs.answered, tabs.held());
        }
    } else {
        (0..ROUNDS).for_each(|_| tabs.round());
    }
    let held = tabs.held();
    for ([module, heap], [warm, _]) in held.into_iter().zip(warm) {
        assert!(module - warm <= MAX_GROWTH && heap <= MAX_HEAP, "{warm:?} has become {held:?}");
    }
}
