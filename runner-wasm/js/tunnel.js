// The agent of this page, as an `EventTarget`.

import { TunnelError } from "./error.js";
import { fetchFrom, parseTarget } from "./fetch.js";
import { readableFrom } from "./http.js";
import { credentialOf, handleEnd } from "./identity.js";
import { load } from "./load.js";
import { Runner } from "./runner.js";
import { exchangeHandler } from "./serve.js";
import { openShared } from "./shared.js";

export class Tunnel extends EventTarget {
  #runner;
  #state = "disconnected";
  #url;
  #relayAddress;
  #ready;
  #closed = false;
  #options;
  #services = new Map();
  #stopWatching = () => {};

  constructor(options) {
    super();
    this.#options = options;
    this.#begin();
  }

  #begin() {
    this.#ready = this.#start(this.#options);
    // Nobody may wait for it; every method that needs it rejects with its error.
    this.#ready.catch(() => {});
  }

  static async connect(options) {
    const { signal } = options;
    signal?.throwIfAborted();
    const tunnel = new Tunnel(options);
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

  static shared(options) {
    return openShared(options);
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

  async serve(service, handler, { public: isPublic, allow, onConflict = "takeover" } = {}) {
    if (typeof handler !== "function") throw new TypeError("the handler has to be a function");
    const everyone = isPublic ?? allow === undefined;
    if (everyone && allow !== undefined) throw new TypeError("a service that has a list of addresses is not public");
    const runner = await this.#running();
    const bind = (runner) =>
      runner.bind(String(service), everyone, allow ?? [], String(onConflict), exchangeHandler(handler));
    const url = await bind(runner);
    this.#services.set(String(service), bind);
    return url ?? `${this.address}/${service}`;
  }

  unserve(service) {
    this.#services.delete(String(service));
    this.#runner?.unbind(String(service));
  }

  async fetch(target, path = "/", init = {}) {
    const hostOf = (address, service) => this.#hostOf(address, service);
    return fetchFrom(await this.#running(), target, path, init, hostOf);
  }

  async connectStream(target, { signal } = {}) {
    const { address, service } = parseTarget(target);
    signal?.throwIfAborted();
    const stream = (await this.#running()).open(address, service);
    const reset = () => stream.reset();
    signal?.addEventListener("abort", reset, { once: true });
    try {
      await stream.accepted();
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
    return {
      readable: readableFrom(stream, { onCancel: reset }),
      writable: new WritableStream({
        write: (chunk) => stream.write(chunk),
        close: () => stream.finish(),
        abort: reset,
      }),
    };
  }

  wake() {
    this.#runner?.wake();
  }

  async reopen() {
    if (!this.#closed && !["error", "disconnected"].includes(this.#state)) return this.wake();
    await this.#ready.catch(() => {});
    this.#closed = false;
    this.#begin();
    const up = new Promise((resolve, reject) => {
      this.addEventListener("up", resolve, { once: true });
      this.addEventListener("down", ({ detail }) => reject(detail.error), { once: true });
    });
    await Promise.all([this.#ready, up]);
    await Promise.all(Array.from(this.#services.values(), (bind) => bind(this.#runner)));
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWatching();
    await this.#ready.catch(() => {});
    this.#runner?.close();
  }

  async #start({ relay, relayAddress, identity, module }) {
    if (!identity) throw new TypeError("an identity is needed");
    const [signer] = await Promise.all([identity, load(module)]);
    const onEvent = (kind, detail) => this.#onEvent(kind, detail);
    const dialled = relay ?? signer.shared?.relay;
    if (!dialled) throw new TypeError("relay is needed");
    const url = endpointOf(dialled);
    if (this.#closed) throw new TunnelError("closed", "the tunnel was closed");
    const { keyPair, address, sign, delegation } = credentialOf(signer);
    this.#runner =
      keyPair === undefined
        ? Runner.withSigner(url, relayAddress, address, sign, delegation, onEvent)
        : Runner.withIdentity(url, relayAddress, keyPair, onEvent);
    this.addEventListener("down", ({ detail }) => handleEnd(signer, detail.code).catch(() => {}));
    this.#watch();
  }

  async #running() {
    await this.#ready;
    return this.#runner;
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
    if (kind === "state") this.#state = detail.state;
    if (kind === "up") {
      this.#url = detail.url;
      this.#relayAddress = detail.relayAddress;
    }
    if (kind === "down" && detail.retryIn === undefined) this.#stopWatching();
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  /** The public host name of a service of another identity, at the same relay. */
  #hostOf(address, service) {
    const own = this.#url === undefined ? "" : new URL(this.#url).host;
    const domain = own.slice(own.indexOf(".") + 1);
    return `${service}.${address.toLowerCase()}.${domain || "localhost"}`;
  }
}

/** The URL of the relay's WebSocket endpoint. A URL without a path gets the default one. */
function endpointOf(relay) {
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
  return url.href;
}
