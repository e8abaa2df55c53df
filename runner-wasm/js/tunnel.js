// An agent in this tab, as an `EventTarget`.

import { TunnelError } from "./error.js";
import { fetchOver, targetOf } from "./fetch.js";
import { readableOf } from "./http.js";
import { keyOf } from "./identity.js";
import { load } from "./load.js";
import { Runner } from "./runner.js";
import { answerer } from "./serve.js";

export class Tunnel extends EventTarget {
  #runner;
  #state = "disconnected";
  #url;
  #relayAddress;
  #ready;
  #closed = false;
  #unwatch = () => {};

  constructor(options) {
    super();
    this.#ready = this.#start(options);
    // Whoever does not wait for it hears it as an event.
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

  async serve(service, handler, { public: isPublic, allow } = {}) {
    if (typeof handler !== "function") throw new TypeError("the handler has to be a function");
    const isOpen = isPublic ?? allow === undefined;
    if (isOpen && allow !== undefined) throw new TypeError("a service that has a list of addresses is not public");
    const runner = await this.#running();
    const url = await runner.bind(String(service), isOpen, allow ?? [], answerer(handler));
    return url ?? `${this.address}/${service}`;
  }

  unserve(service) {
    this.#runner?.unbind(String(service));
  }

  async fetch(target, path = "/", init = {}) {
    return fetchOver(await this.#running(), target, path, init, (address, service) => this.#host(address, service));
  }

  async connectStream(target, { signal } = {}) {
    const { address, service } = targetOf(target);
    signal?.throwIfAborted();
    const stream = (await this.#running()).open(address, service);
    const reset = () => stream.reset();
    signal?.addEventListener("abort", reset, { once: true });
    try {
      await stream.welcome();
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
    return {
      readable: readableOf(stream, { cancelled: reset }),
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

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    await this.#ready.catch(() => {});
    this.#runner?.close();
  }

  async #start({ relay, relayAddress, identity, module }) {
    if (!relay || !identity) throw new TypeError("relay and identity are needed");
    const [signer] = await Promise.all([identity, load(module)]);
    const tell = (kind, detail) => this.#on(kind, detail);
    const at = endpointOf(relay);
    if (this.#closed) throw new TunnelError("closed", "the tunnel was closed");
    const key = keyOf(signer);
    if (key === undefined && typeof signer.sign !== "function") throw new TypeError("the identity cannot sign");
    this.#runner =
      key === undefined
        ? Runner.withSigner(at, relayAddress, String(signer.address), (bytes) => signer.sign(bytes), tell)
        : Runner.withIdentity(at, relayAddress, key, tell);
    this.#watch();
  }

  async #running() {
    await this.#ready;
    return this.#runner;
  }

  /** Looks after the link when the network or the page comes back, because no timer ran meanwhile. */
  #watch() {
    const wake = () => this.wake();
    const shown = () => globalThis.document?.visibilityState === "visible" && this.wake();
    globalThis.addEventListener?.("online", wake);
    globalThis.document?.addEventListener("visibilitychange", shown);
    this.#unwatch = () => {
      globalThis.removeEventListener?.("online", wake);
      globalThis.document?.removeEventListener("visibilitychange", shown);
    };
  }

  #on(kind, detail) {
    if (kind === "state") this.#state = detail.state;
    if (kind === "up") {
      this.#url = detail.url;
      this.#relayAddress = detail.relayAddress;
    }
    if (kind === "down" && detail.retryIn === undefined) this.#unwatch();
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  /** The public host name of a service: ours, with other labels in front of the relay's domain. */
  #host(address, service) {
    const own = this.#url === undefined ? "" : new URL(this.#url).host;
    const domain = own.slice(own.indexOf(".") + 1);
    return `${service}.${address.toLowerCase()}.${domain || "localhost"}`;
  }
}

/** Where agents connect, if only the relay was named. */
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
