// Tunnels whose services are forwarded by the package hvym-tunnel-native, where that is installed: an agent without JavaScript. What
// needs JavaScript, handlers and requests to services of others, has a connection of its own, opened when it is asked for.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

import { TunnelDuplex } from "./duplex.js";
import { TunnelError } from "./error.js";
import { withResolvers } from "./events.js";
import { placeOf } from "./forward.js";
import { Identity } from "./identity.js";
import { TunnelEventSource, connectWebSocket } from "./reach.js";
import { resolve } from "./target.js";
import { allowedBy, asyncDispose, endpointOf, originAt, poolOf } from "./tunnel.js";

const MODULE = "hvym-tunnel-native";
/** What only the package's own connections have. */
const OWN_OPTIONS = ["WebSocket", "limits", "module", "role"];

let found;

/** The class of agents, if the module is installed and made for this system. */
function nativeAgent() {
  found ??= (() => {
    try {
      return createRequire(import.meta.url)(MODULE);
    } catch (error) {
      // Not being there is the usual case. Being there and no use is worth a word.
      if (!/MODULE_NOT_FOUND$/.test(error.code)) process.emitWarning(`${MODULE} cannot be used: ${error.message}`);
      return {};
    }
  })();
  return found.Agent;
}

/** Whether the native agent forwards to `place` what the package would. */
function isForwarded(place) {
  return place.path === "" && !(place.isTls && process.env.NODE_TLS_REJECT_UNAUTHORIZED === "0");
}

/** What Node.js trusts beside the public authorities. A file that is not there is passed over, as Node.js does. */
function moreAuthorities() {
  const file = process.env.NODE_EXTRA_CA_CERTS;
  return file && existsSync(file) ? file : undefined;
}

/** What the native agent knows a service by. */
function serviceOf(name, { isHttp, isTls, host, port }, { onConflict = "takeover", ...access }) {
  const scheme = isHttp ? (isTls ? "https" : "http") : "tcp";
  const authority = host.includes(":") ? `[${host}]` : host;
  const authorities = isTls ? moreAuthorities() : undefined;
  const target = `${scheme}://${authority}:${port}`;
  return { name: String(name), target, allow: allowedBy(access)?.map(String), onConflict: String(onConflict), authorities };
}

/** As `serve` of the package; `undefined` where the native agent is not there, or cannot do what the options say. */
export async function serveNative(service, place, offered, options, connect) {
  const { identity, relay, signal } = options;
  const isPossible = isForwarded(place) && identity instanceof Identity && identity.shared === undefined && relay;
  if (!isPossible || OWN_OPTIONS.some((name) => options[name] !== undefined)) return undefined;
  const Agent = nativeAgent();
  if (Agent === undefined) return undefined;
  signal?.throwIfAborted();
  const tunnel = new NativeTunnel(Agent, options, connect);
  const close = () => tunnel.close();
  const abort = withResolvers();
  const onAbort = () => abort.reject(signal.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    const url = await Promise.race([tunnel.start([serviceOf(service, place, offered)]), abort.promise]);
    return { url, tunnel, close, [asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

class NativeTunnel extends EventTarget {
  #Agent;
  #options;
  #connect;
  #agent;
  #state = "disconnected";
  #url;
  #relayAddress;
  #opened;
  #closed;
  #isClosed = false;
  #tellsStreams = false;
  /** What the agent offers, by name. */
  #services = new Map();
  /** The names of what the other connection offers. */
  #handlers = new Set();
  /** Who waits for the relay's answer about a service, by name. */
  #waiting = new Map();
  /** The connection for what needs JavaScript, once something does. */
  #own;

  /** `connect` opens a tunnel of the package. */
  constructor(Agent, { signal, ...options }, connect) {
    super();
    this.#Agent = Agent;
    this.#options = options;
    this.#connect = connect;
  }

  /** Dials. Resolves to the URL of the first service, or to nothing without one; the first attempt counts. */
  async start(services) {
    const { relay, relayAddress = this.#relayAddress, identity } = this.#options;
    const { href } = endpointOf(relay);
    const login = { relay: href, relayAddress, secret: identity.exportSecret(), authorities: moreAuthorities() };
    [this.#opened, this.#closed, this.#isClosed] = [withResolvers(), withResolvers(), false];
    this.#opened.promise.catch(() => {});
    this.#setState("connecting");
    this.#agent = translated(() => new this.#Agent(login, services, (event) => this.#onEvent(JSON.parse(event))));
    translated(() => this.#agent.tellStreams(this.#tellsStreams));
    const answers = services.map((service) => this.#answerFor(service));
    const failed = new Promise((_, reject) => this.addEventListener("down", ({ detail }) => reject(detail.error), { once: true }));
    const [url] = await Promise.race([Promise.all([...answers, this.#opened.promise]), failed]);
    return services.length > 0 ? url : undefined;
  }

  get state() {
    return this.#state;
  }

  get address() {
    return this.#options.identity.address;
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

  async forward(service, target, options = {}) {
    const place = placeOf(target);
    if (!isForwarded(place)) return this.#serveOwn(service, (own) => own.forward(service, target, options));
    const offered = serviceOf(service, place, options);
    translated(() => this.#agent.bind(offered));
    const answer = this.#answerFor(offered);
    if (this.#handlers.delete(offered.name)) (await this.#own)?.unserve(offered.name);
    return answer;
  }

  serve(service, handler, options) {
    return this.#serveOwn(service, (own) => own.serve(service, handler, options));
  }

  serveStream(service, handler, options) {
    return this.#serveOwn(service, (own) => own.serveStream(service, handler, options));
  }

  serveFile(service, file, options) {
    return this.#serveOwn(service, (own) => own.serveFile(service, file, options));
  }

  unserve(service) {
    this.#withdraw(String(service));
    if (this.#handlers.delete(String(service))) this.#own?.then((own) => own.unserve(service)).catch(() => {});
  }

  async fetch(...request) {
    return (await this.#open()).fetch(...request);
  }

  async connectStream(...target) {
    return (await this.#open()).connectStream(...target);
  }

  createConnection(target) {
    return new TunnelDuplex((signal) => this.connectStream(target, { signal }));
  }

  webSocket(target, protocols, options) {
    let pool;
    const streams = {
      acquire: async (...request) => (pool = poolOf(await this.#open())).acquire(...request),
      end: (lease) => pool.end(lease),
      discard: (lease) => pool.discard(lease),
    };
    return connectWebSocket(streams, this.#resolve(target), protocols, options);
  }

  eventSource(target) {
    return new TunnelEventSource(this.#resolve(target).url.href, (headers, signal) => this.fetch(target, { headers, signal }));
  }

  wake() {
    translated(() => this.#agent.wake());
    this.#own?.then((own) => own.wake()).catch(() => {});
  }

  async reopen() {
    if (!this.#isClosed && !["error", "disconnected"].includes(this.#state)) return this.wake();
    await this.#closed.promise;
    await this.start([...this.#services.values()]);
  }

  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#agent?.stop();
    await this.#closeOwn();
  }

  addEventListener(type, ...listener) {
    super.addEventListener(type, ...listener);
    // Only then, because visitors else cost this thread nothing.
    this.#tellsStreams ||= type === "stream";
    if (this.#tellsStreams) translated(() => this.#agent.tellStreams(true));
  }

  #resolve(target) {
    return resolve(target, (address, service) => originAt(this.#url, address, service));
  }

  /** The tunnel of the package that does what needs JavaScript. */
  #open() {
    this.#own ??= this.#connectOwn();
    return this.#own;
  }

  async #connectOwn() {
    try {
      if (this.#isClosed) throw new TunnelError("closed", "the tunnel was closed");
      const relayAddress = this.#relayAddress ?? this.#options.relayAddress;
      const own = await this.#connect({ ...this.#options, relayAddress });
      own.addEventListener("stream", ({ detail }) => this.#dispatch("stream", detail));
      own.addEventListener("error", ({ detail }) => this.#dispatch("error", detail));
      own.addEventListener("unbound", ({ detail }) => this.#onUnbound(detail, this.#handlers, this.#services));
      own.closed.then(() => {
        this.#own = undefined;
        this.#handlers.clear();
      });
      return own;
    } catch (error) {
      this.#own = undefined;
      throw error;
    }
  }

  async #serveOwn(service, serve) {
    const own = await this.#open();
    const name = String(service);
    this.#handlers.add(name);
    this.#withdraw(name);
    try {
      return await serve(own);
    } catch (error) {
      this.#handlers.delete(name);
      throw error;
    }
  }

  async #closeOwn() {
    const own = await this.#own?.catch(() => {});
    await own?.close();
  }

  #withdraw(name) {
    const isOffered = this.#services.delete(name);
    this.#settle(name, undefined, new TunnelError("closed", "the service was withdrawn"));
    if (isOffered && !this.#isClosed) translated(() => this.#agent.unbind(name));
  }

  /** Resolves to the URL that the relay gives to the service; rejected with its refusal. */
  #answerFor(service) {
    const { promise, ...settle } = withResolvers();
    this.#services.set(service.name, service);
    this.#waiting.set(service.name, [...(this.#waiting.get(service.name) ?? []), settle]);
    // Where several services are waited for, one of them may be refused first.
    promise.catch(() => {});
    return promise;
  }

  /** Returns whether anybody waited. */
  #settle(name, url, error) {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    for (const { resolve, reject } of waiting) error === undefined ? resolve(url) : reject(error);
    return waiting.length > 0;
  }

  #onEvent({ kind, ...event }) {
    if (kind === "up") return this.#onUp();
    if (kind === "down") return this.#onDown(event);
    if (kind === "end") return this.#onEnd(event);
    if (kind === "bound") return this.#settle(event.service, event.url);
    if (kind === "refused") return this.#onRefused(event);
    if (kind === "notice") return this.#dispatch("error", new TunnelError(event.code, event.message, event.hint ?? undefined));
    if (kind === "unbound") return this.#onUnbound(withoutNulls(event), this.#services, this.#handlers);
    return this.#dispatch(kind, withoutNulls(event));
  }

  #onUp() {
    const { relay, url, services } = withoutNulls(JSON.parse(this.#agent.status()));
    // The link may be lost again by now.
    [this.#url, this.#relayAddress] = [url ?? this.#url, relay ?? this.#relayAddress];
    const detail = { url: this.#url, relayAddress: this.#relayAddress, services: services.map(({ service }) => service) };
    this.#setState("connected");
    this.#opened.resolve(detail);
    this.#dispatch("up", detail);
    for (const { service, url } of services) if (url !== null) this.#settle(service, url);
  }

  #onDown({ code, message, hint, retryIn }) {
    const detail = downOf(code, message, hint);
    this.#setState("reconnecting");
    this.#dispatch("down", { ...detail, retryIn });
  }

  #onEnd({ code, message = "closed", hint }) {
    const isFailure = code !== undefined;
    const detail = downOf(code ?? "closed", message, hint);
    this.#isClosed = true;
    this.#setState(isFailure ? "error" : "disconnected");
    for (const name of [...this.#waiting.keys()]) this.#settle(name, undefined, detail.error);
    this.#opened.reject(detail.error);
    this.#closed.resolve(detail);
    this.#closeOwn();
    this.#dispatch("down", detail);
    if (isFailure) this.#dispatch("error", detail.error);
  }

  /** One of the two connections has lost a service: to another program, unless the other one `has` it now. */
  #onUnbound(detail, lost, has) {
    lost.delete(detail.service);
    if (!has.has(detail.service)) this.#dispatch("unbound", detail);
  }

  /** The agent would offer it again after a reconnection, and be refused again. */
  #onRefused({ service, code, message }) {
    const error = new TunnelError(code, `the relay does not take the service ${service}: ${message}`);
    this.#services.delete(service);
    if (!this.#isClosed) translated(() => this.#agent.unbind(service));
    if (!this.#settle(service, undefined, error)) this.#dispatch("error", error);
  }

  #setState(state) {
    this.#state = state;
    this.#dispatch("state", { state });
  }

  #dispatch(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

Object.defineProperty(NativeTunnel.prototype, asyncDispose, {
  value() {
    return this.close();
  },
  configurable: true,
  writable: true,
});

function downOf(code, message, hint) {
  const error = new TunnelError(code, message, hint ?? undefined);
  return { error, code, message, hint: error.hint };
}

/** JSON has no `undefined`. */
function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, value ?? undefined]));
}

/** Calls the module, whose errors have a code and are none of the package's. */
function translated(call) {
  try {
    return call();
  } catch (error) {
    throw typeof error.code === "string" ? new TunnelError(error.code, error.message) : error;
  }
}
