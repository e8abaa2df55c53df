// The `EventSource` of browsers (HTML Standard, "Server-sent events") over requests through the tunnel.

import { defineConstants, defineHandlers } from "./events.js";

/** The time before another request, unless the service says one; milliseconds. */
const RETRY = 3000;
/** The most characters of one event that are kept while its end has not come. */
const MAX_EVENT = 16 * 1024 * 1024;
/** Codes of errors that another request does not mend. */
const FINAL = new Set(["bad_target", "bad_request", "closed", "not_reachable", "redirected_away"]);

const STATES = { CONNECTING: 0, OPEN: 1, CLOSED: 2 };
const { CONNECTING, OPEN, CLOSED } = STATES;

export class TunnelEventSource extends EventTarget {
  #url;
  #ask;
  #readyState = CONNECTING;
  #retry = RETRY;
  #lastEventId = "";
  #abort = new AbortController();
  #timer;

  /** `ask(headers, signal)` sends the request. */
  constructor(url, ask) {
    super();
    this.#url = url;
    this.#ask = ask;
    defineHandlers(this, ["open", "message", "error"]);
    this.#connect();
  }

  get url() {
    return this.#url;
  }

  get readyState() {
    return this.#readyState;
  }

  get withCredentials() {
    return false;
  }

  close() {
    this.#readyState = CLOSED;
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #connect() {
    const headers = { accept: "text/event-stream", "cache-control": "no-store" };
    // A header holds bytes: the id travels as UTF-8.
    const id = String.fromCharCode(...new TextEncoder().encode(this.#lastEventId));
    if (id !== "") headers["last-event-id"] = id;
    try {
      const response = await this.#ask(headers, this.#abort.signal);
      const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
      if (response.status !== 200 || type !== "text/event-stream") {
        response.body?.cancel().catch(() => {});
        return this.#fail();
      }
      if (this.#readyState === CLOSED) return;
      this.#readyState = OPEN;
      this.dispatchEvent(new Event("open"));
      await this.#read(response.body);
    } catch (error) {
      if (FINAL.has(error?.code)) return this.#fail();
    }
    if (this.#readyState === CLOSED) return;
    this.#readyState = CONNECTING;
    this.dispatchEvent(new Event("error"));
    if (this.#readyState === CONNECTING) this.#timer = setTimeout(() => this.#connect(), this.#retry);
  }

  #fail() {
    if (this.#readyState === CLOSED) return;
    this.close();
    this.dispatchEvent(new Event("error"));
  }

  async #read(body) {
    const [reader, decoder] = [body.getReader(), new TextDecoder()];
    const event = { data: [], type: "", id: this.#lastEventId };
    let [line, afterReturn] = ["", false];
    for (;;) {
      const { done, value } = await reader.read();
      // An event without its empty line is not one.
      if (done || this.#readyState === CLOSED) return;
      let text = decoder.decode(value, { stream: true });
      if (afterReturn && text.startsWith("\n")) text = text.slice(1);
      if (text !== "") afterReturn = text.endsWith("\r");
      const lines = text.split(/\r\n|\n|\r/);
      lines[0] = line + lines[0];
      line = lines.pop();
      for (const complete of lines) this.#take(complete, event);
      if (line.length + event.data.reduce((sum, part) => sum + part.length, 0) > MAX_EVENT) {
        await reader.cancel();
        return;
      }
    }
  }

  #take(line, event) {
    if (line === "") return this.#dispatch(event);
    const [, name, value = ""] = /^([^:]*)(?::\x20?(.*))?$/s.exec(line);
    if (name === "data") event.data.push(value);
    else if (name === "event") event.type = value;
    else if (name === "id" && !value.includes("\0")) event.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.#retry = Number(value);
  }

  #dispatch(event) {
    this.#lastEventId = event.id;
    const { data, type } = event;
    event.data = [];
    event.type = "";
    if (data.length === 0 || this.#readyState === CLOSED) return;
    const { origin } = new URL(this.#url);
    const init = { data: data.join("\n"), origin, lastEventId: this.#lastEventId };
    this.dispatchEvent(new MessageEvent(type || "message", init));
  }
}

defineConstants(TunnelEventSource, STATES);
