// One connection to a server of Tunely: the login by token, and the messages after it.

import { TunnelError } from "./error.js";
import { NodeSocket } from "./node-socket.js";
import { Connections } from "./tunely-connections.js";
import { SentRate } from "./tunely-pacing.js";
import { Requests } from "./tunely-requests.js";

/** How long a server may take to answer the login; one that replaces another client may wait for its database. Milliseconds. */
const LOGIN_TIMEOUT = 30_000;
const FORCED_LOGIN_TIMEOUT = 60_000;
/** How often a server that answers pings is asked; one that hears nothing for two minutes gives the place away. */
const PING_INTERVAL = 30_000;
/** How long such a server may say nothing. */
const SILENCE_LIMIT = 75_000;
/** Bytes that wait for the network, beyond which nothing is read from the target. There is no event for it but the clock. */
const MAX_BUFFERED = 1024 * 1024;
const BUFFER_CHECK = 10;
/** The longest text that is parsed: servers send at most 16 MiB. */
const MAX_TEXT = 16 * 1024 * 1024;
const BINARY_FRAMES = "binary_frames";
/** The first bytes of a binary message with bytes of a connection, and what is before those bytes in all. */
const DATA_HEAD = [2, 1];
const DATA_OFFSET = 18;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
/** What the last servers say of a wrong token, and of one that is in use. */
const AMBIGUOUS = "Authentication failed";

export class Link {
  #socket;
  #options;
  #connections;
  #requests;
  #isUp = false;
  #isBinary = false;
  #rate = new SentRate();
  #heardAt = 0;
  #timer;

  /**
   * Dials. `options`: `url`, `token`, `force`, `place` of the target, `requestTimeout`, `onUp(domain)`, `onRequest(request)` or
   * nothing, and `onEnd({ error, isFinal })`, which is called once; `isFinal`: another attempt would end in the same way.
   */
  constructor(options) {
    this.#options = options;
    const { url, token, force, place, requestTimeout, onRequest } = options;
    this.#connections = new Connections(place, this, onRequest);
    this.#requests = new Requests(place, this, requestTimeout);
    this.#socket = new (globalThis.WebSocket ?? NodeSocket)(url);
    this.#socket.binaryType = "arraybuffer";
    const limit = force ? FORCED_LOGIN_TIMEOUT : LOGIN_TIMEOUT;
    this.#timer = setTimeout(() => this.#fail({ error: new TunnelError("timed_out", "the server does not answer the login") }), limit);
    this.#socket.onopen = () =>
      this.say({ type: "auth", token, client_version: "hvym-tunnel", force, capabilities: [BINARY_FRAMES] });
    this.#socket.onmessage = ({ data }) => this.#handle(data);
    // The `close` that follows says it.
    this.#socket.onerror = () => {};
    this.#socket.onclose = ({ reason }) => this.#end(reason);
  }

  /** The most bytes of a connection that go into one message. */
  get maxData() {
    return this.#rate.maxData;
  }

  /** Sends a message; resolves when there is room for more. */
  say(message) {
    return this.#send(JSON.stringify(message));
  }

  /** Sends bytes of a connection; resolves when there is room for more. */
  sendData(id, bytes) {
    this.#rate.handleSent(bytes.length, performance.now());
    if (!this.#isBinary || !UUID.test(id)) {
      return this.say({ type: "tcp_data", conn_id: id, data: Buffer.from(bytes).toString("base64"), sequence: 0 });
    }
    const name = Buffer.from(id.replaceAll("-", ""), "hex");
    return this.#send(Buffer.concat([Buffer.from(DATA_HEAD), name, bytes]));
  }

  close() {
    this.#fail({ error: new TunnelError("closed", "the client was stopped") });
  }

  async #send(data) {
    if (this.#socket.readyState !== 1) return;
    this.#socket.send(data);
    while (this.#socket.readyState === 1 && this.#socket.bufferedAmount > MAX_BUFFERED) {
      await new Promise((resolve) => setTimeout(resolve, BUFFER_CHECK));
    }
  }

  #handle(data) {
    this.#heardAt = performance.now();
    if (typeof data !== "string") return this.#handleBinary(Buffer.from(data));
    const message = parsed(data);
    switch (message?.type) {
      case "auth_ok":
        return this.#handleGrant(message);
      case "auth_error":
        return this.#fail(refusal(message));
      case "ping":
        return this.say({ type: "pong" });
      case "request":
        this.#options.onRequest?.(message);
        return this.#requests.handle(message);
      case "tcp_connect":
        return this.#connections.open(String(message.conn_id));
      case "tcp_data":
        return this.#connections.handleData(String(message.conn_id), Buffer.from(String(message.data), "base64"));
      case "tcp_close":
        return this.#connections.close(String(message.conn_id));
      default:
        // What is not known concerns other kinds of tunnels.
        return undefined;
    }
  }

  #handleBinary(data) {
    if (data.length < DATA_OFFSET || data[0] !== DATA_HEAD[0] || data[1] !== DATA_HEAD[1]) return;
    const hex = data.toString("hex", 2, DATA_OFFSET);
    const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
    this.#connections.handleData(id, data.subarray(DATA_OFFSET));
  }

  #handleGrant({ domain, capabilities }) {
    if (this.#isUp) return;
    clearTimeout(this.#timer);
    this.#isUp = true;
    this.#isBinary = Array.isArray(capabilities) && capabilities.includes(BINARY_FRAMES);
    // Servers of the first protocol answer no pings.
    if (Array.isArray(capabilities)) this.#timer = setInterval(() => this.#ping(), PING_INTERVAL);
    this.#options.onUp(String(domain));
  }

  #ping() {
    if (performance.now() - this.#heardAt <= SILENCE_LIMIT) return this.say({ type: "ping" });
    return this.#fail({ error: new TunnelError("relay_silent", "the server says nothing any more") });
  }

  #fail(end) {
    this.#end("", end);
    this.#socket.close(1000);
  }

  #end(reason, end) {
    clearTimeout(this.#timer);
    this.#connections.clear();
    this.#requests.clear();
    const { onEnd } = this.#options;
    const code = this.#isUp ? "connection_lost" : "relay_unreachable";
    const message = this.#isUp ? "the connection to the server is lost" : "the server cannot be reached";
    this.#options = { ...this.#options, onUp: () => {}, onEnd: () => {} };
    onEnd(end ?? { error: new TunnelError(code, reason === "" ? message : `${message}: ${reason}`) });
  }
}

function parsed(text) {
  try {
    return text.length <= MAX_TEXT ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/** The end by a refusal. */
function refusal({ error, code }) {
  const message = `the server refuses the token: ${error}`;
  const inUse = "another client is connected with it, whose place `force` takes";
  if (code === "connection_exists") return { error: new TunnelError(code, message, inUse) };
  if (error === AMBIGUOUS) return { error: new TunnelError("auth_failed", message, `it is wrong, or ${inUse}`) };
  return { error: new TunnelError("auth_failed", message, "check the token"), isFinal: true };
}
