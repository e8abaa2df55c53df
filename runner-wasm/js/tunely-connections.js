// Connections that a server of Tunely opens to the target: bytes in messages, both ways.

import { setTimeout as sleep } from "node:timers/promises";

import { dial } from "./forward.js";
import { RequestObserver } from "./tunely-observer.js";
import { MAX_DATA, SendPacing } from "./tunely-pacing.js";

/** Connections at once: a browser opens six to a host, and a busy page of many visitors fits. One more is closed. */
const MAX_CONNECTIONS = 256;
/** Bytes that the target has not taken. A server cannot be told to wait: beyond it the connection ends. */
const MAX_UNWRITTEN = 16 * 1024 * 1024;

export class Connections {
  #place;
  #link;
  #onRequest;
  #sockets = new Map();

  /** `link` has `say(message)` and `sendData(id, bytes)`; `onRequest(request)` may be left out. */
  constructor(place, link, onRequest) {
    this.#place = place;
    this.#link = link;
    this.#onRequest = onRequest;
  }

  open(id) {
    if (this.#sockets.has(id)) return;
    if (this.#sockets.size >= MAX_CONNECTIONS) return this.#sayClosed(id, "too many connections");
    // What a message may collect.
    const socket = dial(this.#place, { highWaterMark: MAX_DATA });
    const { isHttp } = this.#place;
    const onRequest = (request) => this.#onRequest({ type: "request", id, ...request });
    const observer = isHttp && this.#onRequest !== undefined ? new RequestObserver(onRequest) : undefined;
    this.#sockets.set(id, { socket, observer });
    this.#carry(id, socket).catch(() => {});
  }

  handleData(id, bytes) {
    const { socket, observer } = this.#sockets.get(id) ?? {};
    if (socket === undefined) return;
    observer?.handle(bytes);
    socket.write(bytes);
    if (socket.writableLength <= MAX_UNWRITTEN) return;
    this.#forget(id)?.destroy();
    this.#sayClosed(id, "the target takes nothing any more");
  }

  /** The visitor is gone; what was sent before still arrives. */
  close(id) {
    this.#forget(id)?.destroySoon();
  }

  /** The link is over, and every connection with it. */
  clear() {
    for (const { socket } of this.#sockets.values()) socket.destroy();
    this.#sockets.clear();
  }

  /** Passes on what the target sends, and its end. */
  async #carry(id, socket) {
    const pacing = new SendPacing();
    let hasAnswered = false;
    let fault = null;
    try {
      for await (const chunk of socket) {
        hasAnswered = true;
        for (let at = 0; at < chunk.length; ) {
          const bytes = chunk.subarray(at, at + this.#link.maxData);
          at += bytes.length;
          await this.#link.sendData(id, bytes);
          pacing.handleSent(bytes.length, performance.now());
          const isFull = chunk.length - at + socket.readableLength >= this.#link.maxData;
          const delay = pacing.delay(isFull, performance.now());
          if (delay > 0) await sleep(delay);
        }
      }
    } catch (error) {
      fault = `the target cannot be reached: ${error.message}`;
    }
    if (this.#sockets.get(id)?.socket !== socket) return;
    // Whoever waits for HTTP gets an answer.
    if (fault !== null && !hasAnswered && this.#place.isHttp) await this.#link.sendData(id, answerOf(fault));
    this.#forget(id)?.destroySoon();
    this.#sayClosed(id, fault);
  }

  #forget(id) {
    const socket = this.#sockets.get(id)?.socket;
    this.#sockets.delete(id);
    return socket;
  }

  #sayClosed(id, error) {
    this.#link.say({ type: "tcp_close", conn_id: id, error });
  }
}

function answerOf(fault) {
  const body = Buffer.from(`${fault}\n`);
  const fields = `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close`;
  return Buffer.concat([Buffer.from(`HTTP/1.1 502 Bad Gateway\r\n${fields}\r\n\r\n`), body]);
}
