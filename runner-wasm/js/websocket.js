// The `WebSocket` of browsers (WebSockets Standard) over a stream of the tunnel, for both ends.

import { TunnelError } from "./error.js";
import { closeEvent, defineConstants, defineHandlers, withResolvers } from "./events.js";
import { bytesOf, flatten, headersFrom } from "./http.js";
import { Frames } from "./runner.js";
import { sha1 } from "./sha1.js";
import { requestTarget } from "./target.js";

/** Concatenated with the key of a handshake (RFC 6455 section 1.3). */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** How long the peer may take to answer a close; milliseconds. */
const CLOSE_TIMEOUT = 10_000;
/** The close code of a frame without one, and of a connection that was lost (RFC 6455 section 7.4.1). */
const [NO_STATUS, ABNORMAL] = [1005, 1006];
const MAX_REASON_BYTES = 123;
/** Bytes that wait to be sent, below which there is room again: a quarter of what a tunnel lets wait. */
const LOW_WATER = 256 * 1024;
const TOKEN = /^[!#$%&'*+.^_\x60|~0-9A-Za-z-]+$/;
const EVENTS = ["open", "message", "error", "close"];

const STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
const { CONNECTING, OPEN, CLOSING, CLOSED } = STATES;

/** What gives a socket its connection: only this file has it. */
const internals = new WeakMap();

export class TunnelWebSocket extends EventTarget {
  #url;
  #protocol = "";
  #binaryType = "blob";
  #readyState = CONNECTING;
  #bufferedAmount = 0;
  #frames;
  #connection;
  /** Settles when everything that was sent is with the connection. */
  #sent = Promise.resolve();
  #closeTimer;
  #ended = withResolvers();

  constructor(url, token) {
    super();
    if (token !== internals) throw new TypeError("use tunnel.webSocket(), or context.upgrade() in a handler");
    this.#url = url;
    defineHandlers(this, EVENTS);
    internals.set(this, {
      /** `connection` has `read`, `write` and `close`. Resolves at the end. */
      open: (connection, isClient, protocol) => this.#open(connection, isClient, protocol),
      fail: (reason = "") => this.#end(ABNORMAL, reason, false),
    });
  }

  get url() {
    return this.#url;
  }

  get protocol() {
    return this.#protocol;
  }

  get extensions() {
    return "";
  }

  get readyState() {
    return this.#readyState;
  }

  get bufferedAmount() {
    return this.#bufferedAmount;
  }

  get binaryType() {
    return this.#binaryType;
  }

  set binaryType(type) {
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  send(data) {
    if (this.#readyState === CONNECTING) throw new DOMException("the socket is not open yet", "InvalidStateError");
    const isBlob = data instanceof Blob;
    const isBinary = ArrayBuffer.isView(data) || data instanceof ArrayBuffer;
    // What the page changes after the call is not sent.
    const payload = isBlob ? data : isBinary ? bytesOf(data).slice() : String(data);
    const size = isBlob ? data.size : isBinary ? payload.length : new TextEncoder().encode(payload).length;
    this.#bufferedAmount += size;
    if (this.#readyState !== OPEN) return;
    this.#queue(async () => {
      if (isBlob) this.#frames.binary(new Uint8Array(await payload.arrayBuffer()));
      else if (isBinary) this.#frames.binary(payload);
      else this.#frames.text(payload);
      await this.#flush();
      this.#bufferedAmount -= size;
      const isDrained = this.#bufferedAmount <= LOW_WATER && this.#bufferedAmount + size > LOW_WATER;
      // Of no standard: see `openWith` in tunnel.js.
      if (isDrained) this.ondrain?.();
    });
  }

  close(code, reason = "") {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException("a page closes with 1000, or 3000 to 4999", "InvalidAccessError");
    }
    if (new TextEncoder().encode(reason).length > MAX_REASON_BYTES) {
      throw new DOMException(`a reason has at most ${MAX_REASON_BYTES} bytes`, "SyntaxError");
    }
    if (this.#readyState === CONNECTING) {
      this.#readyState = CLOSING;
      queueMicrotask(() => this.#end(ABNORMAL, "", false));
    }
    if (this.#readyState !== OPEN) return;
    this.#readyState = CLOSING;
    this.#queue(async () => {
      this.#frames.close(code ?? NO_STATUS, reason);
      await this.#flush();
    });
    this.#closeTimer = setTimeout(() => this.#end(ABNORMAL, "", false), CLOSE_TIMEOUT);
  }

  #open(connection, isClient, protocol) {
    if (this.#readyState !== CONNECTING) {
      connection.close(false);
      return this.#ended.promise;
    }
    this.#connection = connection;
    this.#frames = new Frames(isClient);
    this.#protocol = protocol;
    this.#readyState = OPEN;
    this.dispatchEvent(new Event("open"));
    this.#receive().catch(() => this.#end(ABNORMAL, "", false));
    return this.#ended.promise;
  }

  async #receive() {
    for (;;) {
      const data = await this.#connection.read();
      if (data === undefined || this.#readyState === CLOSED) return this.#end(ABNORMAL, "", false);
      for (const message of this.#frames.receive(data)) {
        if (Array.isArray(message)) return this.#onClose(...message);
        if (this.#readyState === OPEN) this.#dispatch(message);
        // A listener may have ended it.
        if (this.#readyState === CLOSED) return;
      }
      // The answers to pings.
      this.#queue(() => this.#flush());
    }
  }

  #dispatch(message) {
    const isText = typeof message === "string";
    const data = isText ? message : this.#binaryType === "blob" ? new Blob([message]) : message.buffer;
    const origin = this.#url === "" ? "" : new URL(this.#url).origin;
    this.dispatchEvent(new MessageEvent("message", { data, origin }));
  }

  /** The peer closes; without a reason, because it broke a rule. */
  #onClose(code, reason) {
    this.#readyState = CLOSING;
    clearTimeout(this.#closeTimer);
    this.#closeTimer = setTimeout(() => this.#end(ABNORMAL, "", false), CLOSE_TIMEOUT);
    this.#queue(() => this.#flush());
    this.#sent.then(() => (reason === undefined ? this.#end(ABNORMAL, "", false, true) : this.#end(code, reason, true)));
  }

  #queue(work) {
    this.#sent = this.#sent.then(work).catch(() => this.#end(ABNORMAL, "", false));
  }

  async #flush() {
    const bytes = this.#frames?.take();
    if (bytes?.length > 0) await this.#connection.write(bytes);
  }

  /** `isOrderly`: what was sent still reaches the peer. */
  #end(code, reason, wasClean, isOrderly = wasClean) {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSED;
    clearTimeout(this.#closeTimer);
    this.#connection?.close(isOrderly);
    this.#frames?.free();
    this.#frames = undefined;
    this.#ended.resolve();
    if (!wasClean) this.dispatchEvent(new Event("error"));
    this.dispatchEvent(closeEvent({ code, reason, wasClean }));
  }
}

defineConstants(TunnelWebSocket, STATES);

/** A socket that is connecting to `url`, and what opens it and ends it: `{ socket, open, fail }`. */
export function pendingSocket(url) {
  const socket = new TunnelWebSocket(url, internals);
  return { socket, ...internals.get(socket) };
}

/** A socket to `target` (of target.js); `headers` go with its handshake. */
export function connectWebSocket(pool, target, protocols = [], { headers } = {}) {
  const offered = (Array.isArray(protocols) ? protocols : [protocols]).map(String);
  if (!offered.every((name) => TOKEN.test(name)) || new Set(offered).size !== offered.length) {
    throw new DOMException("a protocol is a token, and named once", "SyntaxError");
  }
  if (target.url.hash !== "") throw new DOMException("the URL of a socket has no fragment", "SyntaxError");
  const pending = pendingSocket(target.url.href.replace(/^http/, "ws"));
  shake(pool, target, pending, offered, new Headers(headers)).catch(() => pending.fail());
  return pending.socket;
}

async function shake(pool, target, { socket, open }, offered, headers) {
  const abort = new AbortController();
  socket.addEventListener("close", () => abort.abort(), { once: true });
  const lease = await pool.acquire(target, { isFresh: true, signal: abort.signal });
  abort.signal.addEventListener("abort", () => pool.discard(lease), { once: true });
  const { wire } = lease;
  const key = base64(crypto.getRandomValues(new Uint8Array(16)));
  if (!headers.has("host")) headers.set("host", target.url.host);
  headers.set("sec-websocket-version", "13");
  headers.set("sec-websocket-key", key);
  if (offered.length > 0) headers.set("sec-websocket-protocol", offered.join(", "));
  wire.stream.begin("GET", requestTarget(target.url), flatten(headers), 0, "websocket");
  wire.stream.endBody();
  await wire.flushed();
  const [status, , list] = await wire.until((stream) => stream.head());
  const answer = headersFrom(list);
  const protocol = answer.get("sec-websocket-protocol");
  const isRight =
    status === 101 &&
    answer.get("upgrade")?.toLowerCase() === "websocket" &&
    answer.get("sec-websocket-accept") === acceptOf(key) &&
    !answer.has("sec-websocket-extensions") &&
    (protocol === null ? offered.length === 0 : offered.includes(protocol));
  if (!isRight) throw new TunnelError("bad_http", "the service did not agree to the WebSocket");
  const connection = {
    read: () => wire.read(),
    write: (bytes) => wire.write(bytes, (stream, piece) => stream.send(piece)),
    close: (isOrderly) => (isOrderly ? pool.end(lease) : pool.discard(lease)),
  };
  open(connection, true, protocol ?? "");
}

/**
 * The server's end of the handshake in `request`: the socket, the fields of the 101, and a function that opens the socket
 * once that is sent.
 * @throws {TunnelError} it is not one
 */
export function acceptWebSocket(request, protocol) {
  const { headers } = request;
  const key = headers.get("sec-websocket-key") ?? "";
  const isHandshake =
    request.method === "GET" &&
    headers.get("upgrade")?.toLowerCase() === "websocket" &&
    headers.get("sec-websocket-version") === "13" &&
    /^[A-Za-z0-9+/]{22}==$/.test(key);
  if (!isHandshake) throw new TunnelError("not_a_handshake", "this request does not ask for a WebSocket");
  const offered = (headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  if (protocol !== undefined && !offered.includes(protocol)) {
    throw new TypeError("the client does not offer this protocol");
  }
  const { socket, open, fail } = pendingSocket("");
  const fields = new Headers({ "sec-websocket-accept": acceptOf(key) });
  if (protocol !== undefined) fields.set("sec-websocket-protocol", protocol);
  return { socket, fields, fail, open: (connection) => open(connection, false, protocol ?? "") };
}

/** The field by which a server agrees to `key` (RFC 6455 section 4.2.2). */
export const acceptOf = (key) => base64(sha1(new TextEncoder().encode(key + GUID)));

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
