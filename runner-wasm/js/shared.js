// A tunnel that all pages of an origin share: it lives in a shared worker, and a page has this side of it.

import { TunnelError } from "./error.js";
import { headersFrom, openBody, withProperties } from "./http.js";
import { nameOf } from "./identity.js";
import { Peer, packBody, unpackError } from "./shared-port.js";

const WORKER_HINT = "shared-worker.js has to lie beside this script, as the bundler was to see to; or use Tunnel.connect()";

export async function openShared({ relay, relayAddress, identity, signal }) {
  signal?.throwIfAborted();
  const signer = await identity;
  const name = nameOf(signer);
  if (name === undefined) throw new TypeError("a shared tunnel takes an identity that the browser keeps");
  if (typeof SharedWorker !== "function") {
    throw new TunnelError("unsupported", "this browser has no shared workers here", "use Tunnel.connect()");
  }
  const worker = new SharedWorker(new URL("./shared-worker.js", import.meta.url), { type: "module", name: "hvym-tunnel" });
  const tunnel = new SharedTunnel(worker);
  const close = () => tunnel.close();
  signal?.addEventListener("abort", close, { once: true });
  try {
    await tunnel.open({ relay: String(relay ?? signer.shared?.relay), relayAddress, name });
    return tunnel;
  } catch (error) {
    close();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", close);
  }
}

class SharedTunnel extends EventTarget {
  #peer;
  #handlers = new Map();
  #seen = {};
  #leave = () => {};

  constructor(worker) {
    super();
    this.#peer = new Peer(worker.port, {
      event: ({ type, detail, seen }) => this.#onEvent(type, detail, seen),
      request: (message) => this.#answer(message),
    });
    worker.onerror = () => this.#peer.end(new TunnelError("unsupported", "the shared worker could not be loaded", WORKER_HINT));
  }

  async open(options) {
    // The worker waits for this lock, which the browser gives it when this page is gone.
    const lock = `hvym-tunnel page ${crypto.randomUUID()}`;
    await new Promise((resolve) => {
      navigator.locks.request(lock, () => {
        resolve();
        return new Promise((leave) => {
          this.#leave = leave;
        });
      });
    });
    this.#seen = await this.#peer.ask("open", { ...options, lock }).answer;
  }

  get state() {
    return this.#seen.state;
  }

  get address() {
    return this.#seen.address;
  }

  get url() {
    return this.#seen.url;
  }

  get relayAddress() {
    return this.#seen.relayAddress;
  }

  async serve(service, handler, options = {}) {
    if (typeof handler !== "function") throw new TypeError("the handler has to be a function");
    this.#handlers.set(String(service), handler);
    const { public: isPublic, allow, onConflict } = options;
    return this.#peer.ask("serve", { service: String(service), options: { public: isPublic, allow, onConflict } }).answer;
  }

  unserve(service) {
    this.#handlers.delete(String(service));
    this.#peer.tell("unserve", { service: String(service) });
  }

  async fetch(target, path = "/", { method, headers, body, signal } = {}) {
    signal?.throwIfAborted();
    const fields = new Headers(headers);
    const { stream, type } = openBody(body);
    if (type !== null && !fields.has("content-type")) fields.set("content-type", type);
    // A body of known length stays one.
    const known = typeof body === "string" || body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
    const packed = known ? { body, transfer: [] } : await packBody(stream);
    const message = { target: String(target), path: String(path), method, headers: [...fields], body: packed.body };
    const { id, answer } = this.#peer.ask("fetch", message, packed.transfer);
    const abort = () => this.#peer.tell("abort", { of: id });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const { status, statusText, list, body: content } = await answer;
      const fields = headersFrom(list);
      return withProperties(new Response(content, { status, statusText, headers: fields }), { headers: fields });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  }

  async connectStream(target, { signal } = {}) {
    signal?.throwIfAborted();
    const { id, answer } = this.#peer.ask("connectStream", { target: String(target) });
    signal?.addEventListener("abort", () => this.#peer.tell("abort", { of: id }), { once: true });
    return answer;
  }

  wake() {
    this.#peer.tell("wake");
  }

  /** Leaves it. The connection ends with the last page that uses it. */
  async close() {
    this.#leave();
    this.#peer.end(new TunnelError("closed", "the tunnel was closed"));
  }

  #onEvent(type, detail, seen) {
    this.#seen = seen;
    const error = detail?.error && unpackError(detail.error);
    const shown = type === "error" ? unpackError(detail) : error ? { ...detail, error } : detail;
    this.dispatchEvent(new CustomEvent(type, { detail: shown }));
  }

  /** Answers a visitor of a service of this page. */
  async #answer({ service, context, method, url, list, body }) {
    const handler = this.#handlers.get(service);
    if (handler === undefined) throw new TunnelError("unavailable", "this page does not serve it any more");
    const headers = headersFrom(list);
    const request = withProperties(new Request(url, { method, headers, body, duplex: body && "half" }), { headers });
    const response = await handler(request, context);
    const { status = 200, statusText = "" } = response;
    const fields = new Headers(response.headers);
    const { stream, type } = response instanceof Response ? { stream: response.body, type: null } : openBody(response.body);
    if (type !== null && !fields.has("content-type")) fields.set("content-type", type);
    const packed = await packBody(stream);
    return { value: { status, statusText, list: [...fields].flat(), body: packed.body }, transfer: packed.transfer };
  }
}
