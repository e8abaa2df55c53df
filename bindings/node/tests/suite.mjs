// What `serve` promises for services of this machine, whichever way they are forwarded: node suite.mjs RELAY PORT
//
// The relay knows that it is reached at PORT of this machine too, where this listens.
//
// Each case prints a line of JSON, so that the lines of two ways can be compared.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { Worker } from "node:worker_threads";

import { Identity, TunnelError, serve } from "hvym-tunnel";

const [relay, otherPort] = process.argv.slice(2);
const relayPort = Number(new URL(relay).port);
/** An address that nobody here has. */
const SOMEBODY = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ";

async function listening(server, port = 0) {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  // No server of a test keeps the process.
  server.unref().on("connection", (socket) => socket.unref());
  return server;
}

/** A local server that says what it was asked. */
const origin = await listening(
  createServer(async (asked, answer) => {
    let body = "";
    for await (const chunk of asked) body += chunk;
    answer.end(`${asked.method} ${asked.url} ${body}`);
  }),
);
const echo = await listening(createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)));
const gone = await listening(createServer());
const nobody = gone.address().port;
gone.close();

/** What a visitor from outside gets. */
async function visit(url, path = "/", { method = "GET", body } = {}) {
  const { host } = new URL(url);
  const asking = request({ host: "127.0.0.1", port: relayPort, path, method, headers: { host }, agent: false });
  asking.end(body);
  const [answer] = await once(asking, "response");
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  return [answer.statusCode, text];
}

/** The error that a promise is rejected with. */
const rejection = (promise) => promise.then(() => assert.fail("it is fulfilled"), (error) => error);

/** Its code; errors of mistakes have none. */
async function codeOf(promise) {
  const error = await rejection(promise);
  if (error instanceof TypeError) return "TypeError";
  assert(error instanceof TunnelError, `${error}`);
  assert(error.message.length > 0);
  return error.code;
}

const toClose = [];

/** What is served until the end of a case. */
async function open(...target) {
  const served = await serve(...target);
  toClose.push(served.close);
  return served;
}

const heard = (tunnel, kind) => new Promise((resolve) => tunnel.addEventListener(kind, ({ detail }) => resolve(detail), { once: true }));

/** Without what differs between two identities and two relays. */
const plain = (url) => url.replace(/[a-z0-9]{16}\./, "owner.").replace(/:\d+/, ":port");

/** The relay by another port, whose connections can be cut. */
async function cuttable() {
  const sockets = new Set();
  const server = createTcpServer((socket) => {
    const onward = connect(relayPort, "127.0.0.1");
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on("error", () => {}).on("close", () => (socket.destroy(), onward.destroy()));
    }
    socket.pipe(onward).pipe(socket);
  });
  await listening(server, Number(otherPort));
  return { relay: `ws://127.0.0.1:${server.address().port}`, cut: () => sockets.forEach((socket) => socket.destroy()) };
}

const cases = {
  async "a port is visited until it is closed"() {
    const { url, tunnel, close } = await open(origin.address().port, { relay });
    assert.deepEqual([tunnel.state, (await tunnel.opened).url], ["connected", tunnel.url]);
    assert.match(`${tunnel.address} ${tunnel.relayAddress}`, /^G[A-Z2-7]{55} G[A-Z2-7]{55}$/);
    const seen = [await visit(url, "/path?q=1"), await visit(url, "/", { method: "POST", body: "hello" })];
    await close();
    const { code, retryIn } = await tunnel.closed;
    return [plain(url), plain(tunnel.url), ...seen, code, retryIn ?? null, tunnel.state, (await visit(url))[0]];
  },

  async "a server, a URL and a private service are forwarded"() {
    const served = await open(origin, { relay, allow: [SOMEBODY] });
    const { url, tunnel } = served;
    assert.equal(url, `${tunnel.address}/app`);
    const other = await tunnel.forward("other", `http://127.0.0.1:${origin.address().port}`);
    const own = await (await tunnel.fetch(`${tunnel.address}/app`, "/private")).text();
    return [own, await visit(other, "/public"), await codeOf(tunnel.forward("x", "ftp://localhost"))];
  },

  async "bytes and handlers are beside it in one tunnel"() {
    const served = await open(origin.address().port, { relay });
    const { tunnel } = served;
    assert.equal(await tunnel.forward("db", `tcp://127.0.0.1:${echo.address().port}`, { allow: [] }), `${tunnel.address}/db`);
    const socket = tunnel.createConnection(`${tunnel.address}/db`).setEncoding("utf8");
    socket.end("over a stream");
    let echoed = "";
    for await (const chunk of socket) echoed += chunk;
    const url = await tunnel.serve("js", (asked, { upgrade }) => {
      if (asked.headers.get("upgrade") === null) return new Response(`js ${new URL(asked.url).pathname}`);
      const { response, socket } = upgrade();
      socket.onmessage = ({ data }) => socket.send(`you said ${data}`);
      return response;
    });
    const said = await new Promise((resolve, reject) => {
      const socket = tunnel.webSocket(`${tunnel.address}/js/socket`);
      socket.onopen = () => socket.send("hello");
      // Resolved at its end, so that no timer of it keeps the process.
      socket.onmessage = ({ data }) => (socket.close(), (socket.onclose = () => resolve(data)));
      socket.onerror = () => reject(new Error("the socket failed"));
    });
    const handled = await visit(url, "/handler");
    tunnel.unserve("js");
    return [echoed, handled, said, await codeOf(tunnel.fetch(`${tunnel.address}/js`, "/"))];
  },

  async "a WebSocket is the first thing that is asked of others"() {
    const served = await open(origin.address().port, { relay });
    const socket = served.tunnel.webSocket(`${served.tunnel.address}/app`);
    // The server answers, and with something else.
    const { code } = await new Promise((resolve) => (socket.onclose = resolve));
    assert.throws(() => served.tunnel.webSocket("somewhere"), { code: "bad_target" });
    return code;
  },

  async "a service is replaced and withdrawn"() {
    const served = await open(nobody, { relay });
    const { url, tunnel } = served;
    const before = (await visit(url))[0];
    assert.equal(await tunnel.forward("app", origin.address().port), url);
    const after = await visit(url);
    tunnel.unserve("app");
    const codes = [await codeOf(tunnel.fetch(`${tunnel.address}/app`, "/"))];
    let isTold = false;
    tunnel.addEventListener("unbound", () => (isTold = true));
    await tunnel.serve("app", () => new Response("a handler"));
    const handled = await visit(url);
    await tunnel.forward("app", origin.address().port);
    // A program does not take a service away from itself.
    return [before, after, codes, handled, await visit(url), isTold];
  },

  async "visitors are told to who listens"() {
    const served = await open(origin.address().port, { relay });
    const told = heard(served.tunnel, "stream");
    await visit(served.url);
    const { service, visitor, from } = await told;
    return [service, visitor ?? null, from ?? null];
  },

  async "a lost link is restored"() {
    const { relay, cut } = await cuttable();
    const served = await open(origin.address().port, { relay });
    const { url, tunnel } = served;
    const states = [];
    tunnel.addEventListener("state", ({ detail }) => states.push(detail.state));
    const [down, up] = [heard(tunnel, "down"), heard(tunnel, "up")];
    cut();
    const { code, error, message, retryIn } = await down;
    assert(error instanceof TunnelError && error.message === message && error.code === code);
    assert(retryIn >= 0 && retryIn < 60_000, `${retryIn}`);
    const during = tunnel.state;
    assert.equal((await up).url, tunnel.url);
    const between = new Set(["connecting", "authenticating"]);
    return [code, during, states.filter((state) => !between.has(state)), await visit(url, "/again")];
  },

  async "what another program has is refused or taken over"() {
    const identity = Identity.generate();
    const first = await open(origin.address().port, { relay, identity });
    const refused = await codeOf(serve(nobody, { relay, identity, onConflict: "reject" }));
    assert.equal((await visit(first.url))[0], 200);
    const lost = heard(first.tunnel, "unbound");
    const second = await open(nobody, { relay, identity });
    const { service } = await lost;
    const taken = (await visit(second.url))[0];
    // And back: nothing of before is in the way.
    assert.equal(await first.tunnel.forward("app", origin.address().port), first.url);
    return [refused, service, taken, await visit(first.url)];
  },

  async "who cannot be connected is told why"() {
    const unreachable = await rejection(serve(nobody, { relay: `ws://127.0.0.1:${nobody}` }));
    assert.equal(typeof unreachable.hint, "string");
    const late = AbortSignal.abort(new Error("late"));
    const silent = await listening(createTcpServer((socket) => socket.on("error", () => {})));
    const abort = new AbortController();
    const dialled = once(silent, "connection");
    const waiting = rejection(serve(nobody, { relay: `ws://127.0.0.1:${silent.address().port}`, signal: abort.signal }));
    const [socket] = await dialled;
    abort.abort(new Error("enough"));
    await once(socket.ref().resume(), "close");
    return [
      unreachable.code,
      await codeOf(serve(nobody, { relay, relayAddress: SOMEBODY })),
      (await rejection(serve(nobody, { relay, signal: late }))).message,
      (await waiting).message,
    ];
  },

  async "mistakes have their codes"() {
    return Promise.all([
      codeOf(serve(nobody, { relay: "ftp://localhost" })),
      codeOf(serve(nobody, {})),
      codeOf(serve("ftp://localhost", { relay })),
      codeOf(serve("tcp://localhost", { relay })),
      codeOf(serve(nobody, { relay, public: true, allow: [] })),
      codeOf(serve(nobody, { relay, service: "A b" })),
      codeOf(serve(nobody, { relay, onConflict: "fight" })),
      codeOf(serve(nobody, { relay, allow: ["GABC"] })),
      codeOf(serve(nobody, { relay, relayAddress: "GABC" })),
    ]);
  },

  async "it is opened again after its end"() {
    const { url, tunnel, close } = await open(origin.address().port, { relay });
    await close();
    await tunnel.closed;
    const after = await codeOf(tunnel.fetch(`${tunnel.address}/app`, "/"));
    await tunnel.reopen();
    const seen = [after, tunnel.state, await visit(url, "/reopened")];
    await close();
    return seen;
  },

  async "options that only the package has are followed"() {
    let dialled = 0;
    class Socket {
      constructor() {
        dialled += 1;
        throw new Error("no socket");
      }
    }
    await rejection(serve(nobody, { relay, WebSocket: Socket }));
    const identity = await Identity.generate();
    const signer = { address: identity.address, sign: (bytes) => identity.sign(bytes) };
    const signed = await open(origin.address().port, { relay, identity: signer });
    const below = await open(`http://127.0.0.1:${origin.address().port}/base`, { relay });
    return [dialled > 0, await visit(signed.url), await visit(below.url, "/path")];
  },

  async "a worker that is ended ends what it serves"() {
    const code = `import("hvym-tunnel").then(async ({ serve }) => {
      const { url } = await serve(${origin.address().port}, { relay: "${relay}" });
      require("node:worker_threads").parentPort.postMessage(url);
    })`;
    const worker = new Worker(code, { eval: true });
    const [url] = await once(worker, "message");
    const before = (await visit(url))[0];
    await worker.terminate();
    let after = before;
    while (after === before) [after] = await visit(url);
    return [before, after];
  },

  async "many starts and stops leave nothing that keeps the process"() {
    for (let round = 0; round < 20; round += 1) {
      const { close, tunnel } = await serve(origin.address().port, { relay });
      await close();
      await tunnel.closed;
    }
    return true;
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    console.log(JSON.stringify([name, await run()]));
  } catch (error) {
    console.log(JSON.stringify([name, `${error.stack}`]));
    process.exitCode = 1;
  }
  await Promise.all(toClose.splice(0).map((close) => close()));
}
// Which way it was.
const { sharedObjects } = process.report.getReport();
console.log(JSON.stringify(["native", sharedObjects.some((path) => path.includes("hvym_tunnel"))]));
