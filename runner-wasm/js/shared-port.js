// What both ends of a shared tunnel agree on: errors, headers and bodies in messages.

import { TunnelError } from "./error.js";

let transfersStreams;

/** Whether this browser hands streams over between threads. */
function canTransferStreams() {
  if (transfersStreams === undefined) {
    const stream = new ReadableStream();
    try {
      structuredClone(stream, { transfer: [stream] });
      transfersStreams = true;
    } catch {
      transfersStreams = false;
    }
  }
  return transfersStreams;
}

/** A body for a message, and what has to be handed over with it: a stream, or all of its bytes where streams stay. */
export async function packBody(stream) {
  if (!stream) return { body: undefined, transfer: [] };
  if (canTransferStreams()) return { body: stream, transfer: [stream] };
  const bytes = await new Response(stream).arrayBuffer();
  return { body: bytes, transfer: [bytes] };
}

export function packError(error) {
  const { code, name, message, hint } = error ?? {};
  return { code, name, message: message ?? String(error), hint };
}

export function unpackError({ code, name, message, hint }) {
  if (code !== undefined && typeof code === "string") return new TunnelError(code, message, hint);
  return Object.assign(name === "TypeError" ? new TypeError(message) : new Error(message), { name });
}

/** A side of a port that asks the other one, and answers it: `handlers[kind](message)` gives `{ value, transfer }`. */
export class Peer {
  #port;
  #handlers;
  #waiting = new Map();
  #next = 1;
  #ended;

  constructor(port, handlers) {
    this.#port = port;
    this.#handlers = handlers;
    port.onmessage = ({ data }) => this.#handle(data);
  }

  ask(kind, message = {}, transfer = []) {
    if (this.#ended !== undefined) return { id: 0, answer: Promise.reject(this.#ended) };
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#port.postMessage({ ...message, kind, id }, transfer);
    return { id, answer };
  }

  tell(kind, message = {}) {
    this.#port.postMessage({ ...message, kind });
  }

  /** Nothing is answered any more. */
  end(error) {
    this.#ended = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#port.close();
  }

  async #handle(message) {
    if (message.kind === "answer") {
      const waiting = this.#waiting.get(message.to);
      this.#waiting.delete(message.to);
      if (message.error) waiting?.reject(unpackError(message.error));
      else waiting?.resolve(message.value);
      return;
    }
    try {
      const { value, transfer = [] } = (await this.#handlers[message.kind](message)) ?? {};
      if (message.id !== undefined) this.#port.postMessage({ kind: "answer", to: message.id, value }, transfer);
    } catch (error) {
      if (message.id !== undefined) this.#port.postMessage({ kind: "answer", to: message.id, error: packError(error) });
    }
  }
}
