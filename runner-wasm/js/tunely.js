// The interface of Tunely's client for Node.js, at a server of Tunely or at a relay that takes its clients.

import "./node-module.js";

import { TunnelError } from "./error.js";
import { withResolvers } from "./events.js";
import { placeOf } from "./forward.js";
import { load } from "./load.js";
import { Link } from "./tunely-link.js";

export { TunnelError };

/** The wait after the first failure in a row doubles with each, up to this, or to what was given; milliseconds. */
const MAX_DELAY = 60_000;
/** Where servers take clients, if the URL names no path. */
const PATH = "/ws/tunnel";

export class TunnelClient {
  #config;
  #url;
  #place;
  #events = {};
  #isRunning = false;
  #link;
  #domain = null;
  #isConnected = false;
  /** Ends the wait between two attempts. */
  #wake = () => {};

  constructor({
    serverUrl,
    token,
    targetUrl,
    reconnectInterval = 5000,
    maxReconnectAttempts = 0,
    requestTimeout = 300_000,
    force = false,
  }) {
    this.#url = endpointOf(serverUrl);
    this.#place = placeOf(targetUrl);
    this.#config = { token: String(token), reconnectInterval, maxReconnectAttempts, requestTimeout, force };
  }

  get isConnected() {
    return this.#isConnected;
  }

  get tunnelDomain() {
    return this.#domain;
  }

  on(event, callback) {
    this.#events[event] = callback;
  }

  async run() {
    if (this.#isRunning) throw new Error("the client runs already");
    this.#isRunning = true;
    const { maxReconnectAttempts } = this.#config;
    try {
      await load();
      for (let failures = 0; this.#isRunning; ) {
        const { wasUp, error, isFinal } = await this.#connect();
        if (!this.#isRunning) return;
        this.#tell("onError", error);
        if (isFinal) throw error;
        failures = wasUp ? 0 : failures + 1;
        if (maxReconnectAttempts > 0 && failures > maxReconnectAttempts) return;
        await this.#pause(failures);
      }
    } finally {
      this.#isRunning = false;
    }
  }

  stop() {
    this.#isRunning = false;
    this.#link?.close();
    this.#wake();
  }

  /** One connection, from its beginning to its end: `{ wasUp, error, isFinal }`. */
  async #connect() {
    const { promise, resolve } = withResolvers();
    const { token, force, requestTimeout } = this.#config;
    const onRequest = this.#events.onRequest && ((request) => this.#tell("onRequest", request));
    const onUp = (domain) => {
      this.#domain = domain;
      this.#isConnected = true;
      this.#tell("onConnect", domain);
    };
    const options = { url: this.#url, token, force, place: this.#place, requestTimeout, onUp, onRequest, onEnd: resolve };
    this.#link = new Link(options);
    const end = await promise;
    const wasUp = this.#isConnected;
    this.#link = undefined;
    this.#domain = null;
    this.#isConnected = false;
    if (wasUp) this.#tell("onDisconnect");
    return { wasUp, ...end };
  }

  async #pause(failures) {
    const { reconnectInterval } = this.#config;
    const delay = Math.min(reconnectInterval * 2 ** Math.max(failures - 1, 0), Math.max(reconnectInterval, MAX_DELAY));
    const { promise, resolve } = withResolvers();
    this.#wake = resolve;
    // Clients that lost the same server do not come back in the same moment.
    const timer = setTimeout(resolve, delay * (0.8 + 0.4 * Math.random()));
    await promise;
    clearTimeout(timer);
  }

  /** What a callback throws ends nothing, and is told to `onError`. */
  #tell(event, ...details) {
    try {
      this.#events[event]?.(...details);
    } catch (error) {
      if (event !== "onError") this.#tell("onError", error);
    }
  }
}

export async function runTunnelClient(serverUrl, token, targetUrl, reconnectInterval) {
  await new TunnelClient({ serverUrl, token, targetUrl, reconnectInterval }).run();
}

function endpointOf(serverUrl) {
  const url = new URL(serverUrl);
  url.protocol = url.protocol.replace("http", "ws");
  if (!["ws:", "wss:"].includes(url.protocol)) throw new TypeError("serverUrl is ws://.. or wss://..");
  if (url.pathname === "/") url.pathname = PATH;
  return url.href;
}
