// The shared worker: one tunnel for each relay and identity, for all pages of the origin that use it.

import { TunnelError } from "./error.js";
import { flatten } from "./http.js";
import { identityNamed } from "./identity.js";
import * as keys from "./keys.js";
import { provideParts } from "./parts.js";
import * as reach from "./reach.js";
import * as serve from "./serve.js";
import { Peer, packBody, packError } from "./shared-port.js";
import { Tunnel } from "./tunnel.js";

provideParts({ keys: () => keys, reach: () => reach, serve: () => serve });

const EVENTS = ["state", "up", "down", "stream", "latency", "unbound", "error"];

/** By relay and name of the identity: the tunnel, and the pages that use it. */
const tunnels = new Map();

self.onconnect = ({ ports: [port] }) => new Page(port);

/** A page. */
class Page {
  #peer;
  #tunnel;
  #aborts = new Map();
  #services = new Set();
  #gone = new AbortController();

  constructor(port) {
    this.#peer = new Peer(port, {
      open: (message) => this.#open(message),
      fetch: (message) => this.#abortable(message, (signal) => this.#fetch(message, signal)),
      connectStream: (message) => this.#abortable(message, (signal) => this.#connect(message, signal)),
      abort: ({ of }) => this.#aborts.get(of)?.abort(),
      serve: (message) => this.#serve(message),
      unserve: ({ service }) => this.#unserve(service),
      wake: () => this.#tunnel?.wake(),
    });
  }

  onEvent(type, detail) {
    const plain = type === "error" ? packError(detail) : detail?.error ? { ...detail, error: packError(detail.error) } : detail;
    this.#peer.tell("event", { type, detail: plain, seen: seenOf(this.#tunnel) });
  }

  async #open({ relay, relayAddress, name, lock }) {
    const key = `${relay} ${relayAddress ?? ""} ${name}`;
    navigator.locks.request(lock, () => this.#leave(key));
    let entry = tunnels.get(key);
    // One that is over is begun anew.
    if (entry === undefined || ["error", "disconnected"].includes(entry.tunnel?.state)) {
      const pages = entry?.pages ?? new Set();
      entry = { pages, tunnel: undefined, up: undefined };
      tunnels.set(key, entry);
      entry.up = begin(entry, { relay, relayAddress, name });
    }
    entry.pages.add(this);
    await entry.up.catch((error) => {
      if (tunnels.get(key) === entry) tunnels.delete(key);
      throw error;
    });
    this.#tunnel = entry.tunnel;
    return { value: seenOf(entry.tunnel) };
  }

  #leave(key) {
    for (const service of this.#services) this.#tunnel?.unserve(service);
    for (const abort of this.#aborts.values()) abort.abort();
    const error = new TunnelError("closed", "the page is gone");
    this.#peer.end(error);
    this.#gone.abort(error);
    const entry = tunnels.get(key);
    entry?.pages.delete(this);
    if (entry?.pages.size === 0) {
      tunnels.delete(key);
      entry.tunnel?.close();
    }
  }

  async #abortable({ id }, work) {
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    try {
      return await work(abort.signal);
    } catch (error) {
      this.#aborts.delete(id);
      throw error;
    }
  }

  async #fetch({ id, target, path, method, headers, body }, signal) {
    const response = await this.#tunnel.fetch(target, path, { method, headers, body, signal });
    const { status, statusText } = response;
    const flush = () => this.#aborts.delete(id);
    const packed = await packBody(response.body?.pipeThrough(new TransformStream({ flush, cancel: flush })));
    if (packed.body === undefined) flush();
    return { value: { status, statusText, list: flatten(response.headers), body: packed.body }, transfer: packed.transfer };
  }

  async #connect({ target }, signal) {
    const streams = await this.#tunnel.connectStream(target, { signal });
    return { value: streams, transfer: [streams.readable, streams.writable] };
  }

  async #serve({ service, options }) {
    const handler = async (request, { visitor, from }) => {
      const packed = await packBody(request.body);
      const { method, url, headers } = request;
      const context = { service, visitor, from };
      const message = { service, context, method, url, list: flatten(headers), body: packed.body };
      const { status, statusText, list, body } = await this.#peer.ask("request", message, packed.transfer).answer;
      const fields = new Headers();
      for (let at = 0; at < list.length; at += 2) fields.append(list[at], list[at + 1]);
      // A stream that a page handed over does not end with the page.
      const isStream = body instanceof ReadableStream;
      const content = isStream ? body.pipeThrough(new TransformStream(), { signal: this.#gone.signal }) : body;
      return { status, statusText, headers: fields, body: content };
    };
    const value = await this.#tunnel.serve(service, handler, options);
    this.#services.add(service);
    return { value };
  }

  #unserve(service) {
    this.#services.delete(service);
    this.#tunnel?.unserve(service);
  }
}

/** Connects a tunnel, whose events go to all of its pages. */
async function begin(entry, { relay, relayAddress, name }) {
  const identity = await identityNamed(name);
  // WebKit gives `null` for a record with a key, which it shows to pages alone.
  if (identity === null) {
    throw new TunnelError("unsupported", "this browser shows its keys to no shared worker", "use Tunnel.connect()");
  }
  if (identity === undefined) throw new TunnelError("forgotten", "this identity was forgotten");
  const tunnel = new Tunnel({ relay, relayAddress, identity });
  entry.tunnel = tunnel;
  const up = new Promise((resolve, reject) => {
    tunnel.addEventListener("up", resolve, { once: true });
    tunnel.addEventListener("down", ({ detail }) => reject(detail.error), { once: true });
  });
  for (const type of EVENTS) {
    tunnel.addEventListener(type, ({ detail }) => {
      for (const page of entry.pages) page.onEvent(type, detail);
    });
  }
  try {
    await up;
  } catch (error) {
    tunnel.close();
    throw error;
  }
}

function seenOf(tunnel) {
  const { state, address, url, relayAddress } = tunnel ?? {};
  return { state, address, url, relayAddress };
}
