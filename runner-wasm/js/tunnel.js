// The agent of this page, as an `EventTarget`. Workers have it as it is; what pages have beside is in page.js.

import { TunnelError } from "./error.js";
import { withResolvers } from "./events.js";
import { credentialOf, handleEnd } from "./identity.js";
import { load } from "./load.js";
import { part } from "./parts.js";
import { Connection, Runner } from "./runner.js";
import { resolve } from "./target.js";
import { Wire } from "./wire.js";

/** Streams that others may have open to this page; each may hold a window of 256 KiB. */
const INBOUND = 128;
/** The most of them: as many as a link has. */
const MAX_INBOUND = 1024;
/** Streams of this page to services of others. A relay allows an identity 128, of all its pages. */
const OUTBOUND = 96;
/** How long the next request on a connection may take to arrive; milliseconds. Relays keep an idle one for 30 s. */
const REQUEST_HEAD = 60_000;
/** The streams of each tunnel to services of others, for what is built on them elsewhere. */
const pools = new WeakMap();

export const poolOf = (tunnel) => pools.get(tunnel);

export class Tunnel extends EventTarget {
  #runner;
  /** What reaches services of others, once it is loaded. */
  #reach;
  #pool;
  #state = "disconnected";
  #url;
  #relayAddress;
  #limits;
  #ready;
  #options;
  #services = new Map();
  #opened = withResolvers();
  #closed = withResolvers();
  #isClosed = false;
  #stopWatching = () => {};

  constructor(options) {
    super();
    this.#options = options;
    this.#begin();
  }

  #begin() {
    // Nobody may wait for them; every method that needs the tunnel rejects with the error.
    this.#opened.promise.catch(() => {});
    this.#ready = this.#start(this.#options);
    this.#ready.catch((error) => this.#fail(error));
  }

  /** It ended before there was anything to dial with. */
  #fail(error) {
    const { code, message, hint } = error;
    if (this.#isClosed) return this.#end({ error, code, message, hint });
    this.#onEvent("state", { state: "error" });
    this.#onEvent("down", { error, code, message, hint });
    this.#onEvent("error", error);
  }

  static async connect(options) {
    const { signal } = options;
    signal?.throwIfAborted();
    const tunnel = new this(options);
    const up = new Promise((resolve, reject) => {
      tunnel.addEventListener("up", resolve, { once: true });
      tunnel.addEventListener("down", ({ detail }) => reject(detail.error), { once: true });
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    try {
      await Promise.all([tunnel.#ready, up]);
      return tunnel;
    } catch (error) {
      up.catch(() => {});
      tunnel.close();
      throw error;
    }
  }

  get state() {
    return this.#state;
  }

  get address() {
    return this.#runner?.address;
  }

  get url() {
    return this.#url;
  }

  get relayAddress() {
    return this.#relayAddress;
  }

  get opened() {
    return this.#opened.promise;
  }

  get closed() {
    return this.#closed.promise;
  }

  serve(service, handler, options) {
    return this.#serve(service, handler, true, options);
  }

  serveStream(service, handler, options) {
    return this.#serve(service, handler, false, options);
  }

  async #serve(service, handler, isHttp, { onConflict = "takeover", ...access } = {}) {
    if (typeof handler !== "function") throw new TypeError("the handler has to be a function");
    const name = String(service);
    const allowed = allowedBy(access);
    const runner = await this.#running();
    const onError = (error) => this.#onEvent("error", error);
    const withdrawn = new AbortController();
    const terms = { headTimeout: this.#limits.requestHead, onError, withdrawn: withdrawn.signal };
    const onStream = isHttp
      ? (await part("serve")).httpHandler(name, handler, terms)
      : this.#streamHandler(name, handler, onError);
    const bind = (runner) => runner.bind(name, isHttp, allowed, String(onConflict), onStream);
    const url = await bind(runner);
    this.#services.get(name)?.withdrawn.abort();
    this.#services.set(name, { bind, withdrawn });
    return url ?? `${this.address}/${name}`;
  }

  unserve(service) {
    const name = String(service);
    this.#services.get(name)?.withdrawn.abort();
    this.#services.delete(name);
    this.#runner?.unbind(name);
  }

  async fetch(input, path, init) {
    let options = path === undefined || typeof path === "string" ? { ...init } : { ...path };
    if (input instanceof Request) options = { ...(await partsOf(input)), ...options };
    const pool = await this.#usable();
    const target = this.#resolve(input.url ?? input);
    if (typeof path === "string") {
      if (!path.startsWith("/")) throw new TypeError("the path has to start with a slash");
      // Not relative to it: two slashes would begin another host.
      target.url = new URL(target.url.origin + path);
    }
    return this.#reach.fetchFrom(pool, target, options);
  }

  webSocket(target, protocols, options) {
    return this.#reach.connectWebSocket(this.#usableNow(), this.#resolve(target), protocols, options);
  }

  eventSource(target) {
    const ask = (headers, signal) => this.fetch(target, { headers, signal });
    this.#usableNow();
    return new this.#reach.TunnelEventSource(this.#resolve(target).url.href, ask);
  }

  async connectStream(target, { signal } = {}) {
    signal?.throwIfAborted();
    const pool = await this.#usable();
    const lease = await pool.acquire(this.#resolve(target), { isFresh: true, signal });
    const end = () => {
      signal?.removeEventListener("abort", end);
      pool.discard(lease);
    };
    signal?.addEventListener("abort", end);
    try {
      await lease.wire.until((stream) => stream.accepted() || null);
    } catch (error) {
      end();
      throw signal?.aborted ? signal.reason : error;
    }
    return this.#reach.pairOf(lease.wire, end, signal);
  }

  wake() {
    this.#runner?.wake();
  }

  async reopen() {
    if (!this.#isClosed && !["error", "disconnected"].includes(this.#state)) return this.wake();
    await this.#ready.catch(() => {});
    this.#isClosed = false;
    this.#opened = withResolvers();
    this.#closed = withResolvers();
    this.#begin();
    const up = new Promise((resolve, reject) => {
      this.addEventListener("up", resolve, { once: true });
      this.addEventListener("down", ({ detail }) => reject(detail.error), { once: true });
    });
    await Promise.all([this.#ready, up]);
    await Promise.all(Array.from(this.#services.values(), ({ bind }) => bind(this.#runner)));
  }

  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopWatching();
    await this.#ready.catch(() => {});
    this.#runner?.close();
  }

  async #start({ relay, relayAddress, identity, module, role, limits = {}, WebSocket = globalThis.WebSocket }) {
    if (!identity) throw new TypeError("an identity is needed");
    if (WebSocket === undefined) {
      throw new TunnelError("unsupported", "there is no WebSocket here", "give one as `WebSocket`: the class of the package ws, or Node.js 22");
    }
    const { inbound = INBOUND, outbound = OUTBOUND, requestHead = REQUEST_HEAD } = limits;
    const isNumber = (value, max) => Number.isInteger(value) && value >= 1 && value <= max;
    if (!isNumber(inbound, MAX_INBOUND) || !isNumber(outbound, MAX_INBOUND) || !(requestHead > 0)) {
      throw new RangeError(`limits.inbound and limits.outbound are 1 to ${MAX_INBOUND}, and limits.requestHead is a time`);
    }
    this.#limits = { inbound, outbound, requestHead };
    const [signer, reach] = await Promise.all([identity, part("reach"), load(module)]);
    this.#reach = reach;
    const onEvent = (kind, detail) => this.#onEvent(kind, detail);
    const dialled = relay ?? signer.shared?.relay;
    if (!dialled) throw new TypeError("relay is needed");
    const url = endpointOf(dialled);
    if (this.#isClosed) throw new TunnelError("closed", "the tunnel was closed");
    const { keyPair, address, sign, delegation } = credentialOf(signer);
    const onlyCalls = role === "caller" || signer.shared !== undefined;
    const openSocket = openWith(WebSocket, () => this.#runner?.resume());
    const connection = new Connection(url.href, url.hostname, relayAddress, inbound, outbound, onlyCalls, openSocket);
    this.#runner =
      keyPair === undefined
        ? Runner.withSigner(connection, address, callingBack(sign), delegation, onEvent)
        : Runner.withIdentity(connection, keyPair, onEvent);
    this.#pool = new reach.Pool(this.#runner, outbound);
    pools.set(this, this.#pool);
    this.addEventListener("down", ({ detail }) => handleEnd(signer, detail.code).catch(() => {}));
    this.#watch();
  }

  async #running() {
    await this.#ready;
    return this.#runner;
  }

  async #usable() {
    await this.#ready;
    return this.#pool;
  }

  /** The pool, for what gives an object at once. */
  #usableNow() {
    if (this.#pool === undefined) throw new TunnelError("not_connected", "the tunnel was not connected yet");
    return this.#pool;
  }

  /** Checks the link when the network or the page comes back: timers did not run meanwhile. */
  #watch() {
    const wake = () => this.wake();
    const onVisibility = () => globalThis.document?.visibilityState === "visible" && this.wake();
    globalThis.addEventListener?.("online", wake);
    globalThis.document?.addEventListener("visibilitychange", onVisibility);
    this.#stopWatching = () => {
      globalThis.removeEventListener?.("online", wake);
      globalThis.document?.removeEventListener("visibilitychange", onVisibility);
    };
  }

  #onEvent(kind, detail) {
    if (kind === "room") return this.#pool.serve();
    if (kind === "state") this.#state = detail.state;
    if (kind === "up") {
      this.#url = detail.url;
      this.#relayAddress = detail.relayAddress;
      this.#opened.resolve(detail);
    }
    if (kind === "down") {
      this.#pool?.clear();
      if (detail.retryIn === undefined) this.#end(detail);
    }
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  #end(down) {
    this.#stopWatching();
    this.#opened.reject(down.error);
    this.#closed.resolve(down);
  }

  /** The function that the module calls for each stream to a service of bytes. */
  #streamHandler(service, handler, onError) {
    return async (stream, from) => {
      const wire = new Wire(stream);
      try {
        await handler(
          this.#reach.pairOf(wire, () => wire.close()),
          { service, from },
        );
      } catch (error) {
        wire.close();
        onError(error);
      }
    };
  }

  #resolve(input) {
    return resolve(input, (address, service) => this.#originOf(address, service));
  }

  /** The origin of a service of another identity, at the same relay. */
  #originOf(address, service) {
    return originAt(this.#url, address, service);
  }
}

// Of `await using`, which some browsers have not yet.
export const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
Object.defineProperty(Tunnel.prototype, asyncDispose, {
  value() {
    return this.close();
  },
  configurable: true,
  writable: true,
});

/** `sign` as the module calls it. An error is a no. */
function callingBack(sign) {
  return (bytes, done) => {
    const signing = (async () => sign(bytes))();
    signing.then(done, () => done(null));
  };
}

/** How the module opens a WebSocket; `onDrain` is called by one that tells when its buffer has room again. */
function openWith(WebSocket, onDrain) {
  return (url) => {
    const socket = new WebSocket(url);
    socket.ondrain = onDrain;
    // The `close` that follows says it; the package ws throws what nobody listens to.
    socket.onerror = () => {};
    return socket;
  };
}

/** What a `Request` of the page asks for. */
async function partsOf(request) {
  const { method, headers, signal, redirect } = request;
  const hasBody = method !== "GET" && method !== "HEAD" && request.body !== null;
  // Not every browser shows the body of a request as a stream.
  const body = hasBody ? (request.body ?? (await request.arrayBuffer())) : null;
  return { method, headers, signal, redirect, body };
}

/** The addresses that a service is for; `undefined` if it is for everybody. */
export function allowedBy({ public: isPublic, allow }) {
  if (isPublic === true && allow !== undefined) {
    throw new TypeError("a service that has a list of addresses is not public");
  }
  return (isPublic ?? allow === undefined) ? undefined : (allow ?? []);
}

/** The origin of a service at the relay where an identity has `url`. */
export function originAt(url, address, service) {
  const { protocol, host } = new URL(url ?? "https://relay.localhost");
  return `${protocol}//${service}.${address.toLowerCase()}.${host.slice(host.indexOf(".") + 1)}`;
}

/** The URL of the relay's WebSocket endpoint. A URL without a path gets the default one. */
export function endpointOf(relay) {
  let url;
  try {
    url = new URL(relay);
  } catch {
    throw new TunnelError("bad_relay", "the relay is not a URL", "it looks like wss://tunnel.example");
  }
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol !== "wss:" && url.protocol !== "ws:") {
    throw new TunnelError("bad_relay", "the relay is no WebSocket", "it looks like wss://tunnel.example");
  }
  if (url.pathname === "/") url.pathname = "/connect";
  return url;
}
