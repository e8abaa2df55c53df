// What the package does, tried once each in whatever browser shows this page, and reported: names, and "yes" or what is wrong.

import { Identity, Tunnel, TunnelError } from "/package/index.js";

const query = new URLSearchParams(location.search);
const [relay, relayAddress] = [query.get("relay"), query.get("address")];

function assert(isTrue, what) {
  if (!isTrue) throw new Error(`not so: ${what}`);
}

/** What resolves to the first event of a kind. */
const next = (target, kind) => new Promise((resolve) => target.addEventListener(kind, resolve, { once: true }));

const identity = await Identity.generate();
const tunnel = await Tunnel.connect({ relay, relayAddress, identity });
const own = (service) => `${identity.address}/${service}`;
const bytes = (count) => Uint8Array.from({ length: count }, (_, at) => (at * 31 + (at >>> 8)) & 0xff);

async function sameBytes(response, expected) {
  const got = new Uint8Array(await response.arrayBuffer());
  assert(got.length === expected.length && got.every((byte, at) => byte === expected[at]), "the bytes are the same");
}

const checks = {
  "fetch and serve": async () => {
    await tunnel.serve("echo", async (request) => new Response(await request.text(), { status: 201, headers: { "x-as": "sent" } }));
    const response = await tunnel.fetch(own("echo"), { method: "PUT", body: "text" });
    assert(response.status === 201 && response.headers.get("x-as") === "sent" && (await response.text()) === "text", "it is echoed");
  },
  "1 MiB each way": async () => {
    await tunnel.serve("large", async (request) => new Response(await request.arrayBuffer()));
    const body = bytes(1 << 20);
    await sameBytes(await tunnel.fetch(own("large"), { method: "POST", body }), body);
  },
  "a stream as the body of a request and of an answer": async () => {
    await tunnel.serve("stream", async (request) => new Response(new Blob([await request.arrayBuffer()]).stream()));
    const body = bytes(300_000);
    await sameBytes(await tunnel.fetch(own("stream"), { method: "POST", body: new Blob([body]).stream() }), body);
  },
  "`request.body` in handlers": async () => {
    await tunnel.serve("body", async (request) => new Response(request.body ? "stream" : "none"));
    const said = await (await tunnel.fetch(own("body"), { method: "POST", body: "x" })).text();
    if (said === "none") return "no, `text()` and the like";
    assert(said === "stream", said);
  },
  "`for await` over an answer": async () => {
    const { body } = await tunnel.fetch(own("echo"), { method: "PUT", body: "text" });
    if (body[Symbol.asyncIterator] === undefined) return "no, `getReader()`";
    for await (const chunk of body) assert(chunk.length === 4, "it comes whole");
  },
  "abort": async () => {
    let aborted;
    const seen = new Promise((resolve) => (aborted = resolve));
    await tunnel.serve("slow", ({ signal }) => new Promise(() => signal.addEventListener("abort", aborted)));
    const abort = new AbortController();
    const asked = tunnel.fetch(own("slow"), { signal: abort.signal }).catch(({ name }) => name);
    await next(tunnel, "stream");
    abort.abort();
    assert((await asked) === "AbortError", "the page is told");
    await seen;
  },
  "errors with codes": async () => {
    const error = await tunnel.fetch(own("nothing")).catch((error) => error);
    assert(error instanceof TunnelError && error.code === "not_reachable", String(error));
  },
  "`WebSocket`, both ends": async () => {
    await tunnel.serve("socket", (_, { upgrade }) => {
      const { response, socket } = upgrade({ protocol: "v1" });
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => socket.send(data);
      return response;
    });
    const socket = tunnel.webSocket(own("socket"), ["v1"]);
    await next(socket, "open");
    socket.send("hello");
    assert((await next(socket, "message")).data === "hello" && socket.protocol === "v1", "text is echoed");
    socket.send(bytes(70_000));
    assert((await next(socket, "message")).data.size === 70_000, "bytes are echoed");
    socket.close(3001, "enough");
    const { code, wasClean } = await next(socket, "close");
    assert(code === 3001 && wasClean, `it closes: ${code} ${wasClean}`);
  },
  "`EventSource`": async () => {
    const headers = { "content-type": "text/event-stream" };
    await tunnel.serve("events", () => new Response("event: tick\nid: 7\ndata: a\n\n", { headers }));
    const events = tunnel.eventSource(own("events"));
    const { data, lastEventId } = await next(events, "tick");
    events.close();
    assert(data === "a" && lastEventId === "7", "the event arrives");
  },
  "streams of bytes": async () => {
    await tunnel.serveStream("bytes", ({ readable, writable }) => readable.pipeTo(writable), { allow: [] });
    const { readable, writable } = await tunnel.connectStream(own("bytes"));
    const writer = writable.getWriter();
    await writer.write("over");
    await writer.write(bytes(10));
    await writer.close();
    assert((await new Response(readable).arrayBuffer()).byteLength === 14, "all comes back");
  },
  "files, with ranges": async () => {
    await tunnel.serveFile("file", new Blob(["0123456789"], { type: "text/plain" }));
    const part = await tunnel.fetch(own("file"), { headers: { range: "bytes=2-4" } });
    assert(part.status === 206 && (await part.text()) === "234", "a part is served");
  },
  "`Identity.persistent()`": async () => {
    const [first, second] = [await Identity.persistent("features"), await Identity.persistent("features")];
    assert(first.address === second.address, "it is kept");
    const kept = await Tunnel.connect({ relay, relayAddress, identity: second });
    assert(kept.address === first.address, "it logs in");
    await kept.close();
    await second.forget();
  },
  "`Identity.fromWallet()`": async () => {
    const account = await Identity.generate();
    const wallet = { address: account.address, sign: (text) => account.sign(text) };
    const delegated = await Tunnel.connect({ relay, relayAddress, identity: await Identity.fromWallet(wallet) });
    assert(delegated.address === account.address, "it acts for the account");
    await delegated.close();
  },
  "`Tunnel.shared()`": async () => {
    const opening = Tunnel.shared({ relay, relayAddress, identity: Identity.persistent("shared") });
    const shared = await opening.catch((error) => error);
    if (shared.code === "unsupported") return `no, \`unsupported\`: ${shared.hint}`;
    if (shared instanceof Error) throw shared;
    assert(shared.state === "connected", shared.state);
    assert((await (await shared.fetch(own("echo"), "/", { method: "PUT", body: "s" })).text()) === "s", "it fetches");
    await shared.close();
  },
  "200 requests at once": async () => {
    const all = Array.from({ length: 200 }, async (_, at) => (await tunnel.fetch(own("echo"), { method: "PUT", body: `${at}` })).text());
    assert((await Promise.all(all)).every((text, at) => text === `${at}`), "each gets its own answer");
  },
};

const LIMIT = 60_000;
const seen = [];
for (const [name, check] of Object.entries(checks)) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`nothing for ${LIMIT} ms`)), LIMIT));
  const outcome = await Promise.race([check(), late]).then((said) => said ?? "yes", (error) => `FAIL: ${error}`);
  seen.push({ name, outcome });
}
const url = await tunnel.serve("app", (request, { visitor }) => new Response(`${visitor !== undefined} ${new URL(request.url).pathname}`));
await fetch("/report", { method: "POST", body: JSON.stringify({ seen, url, agent: navigator.userAgent }) });
