// A stream of the module. Its methods give `null` while there is nothing yet; here they become promises.

import { TunnelError } from "./error.js";

/** Bytes passed to the module per call: it copies them, and the chunks of a page may be of any size. */
const MAX_CHUNK = 64 * 1024;

export class Wire {
  #stream;
  #waiting = [];

  constructor(stream) {
    this.#stream = stream;
    stream.onWake(() => this.wake());
  }

  /** The module's object, for calls that give something at once. */
  get stream() {
    if (this.#stream === undefined) throw new TunnelError("stream_lost", "the stream was closed");
    return this.#stream;
  }

  /** What `look(stream)` gives once that is not `null`. */
  async until(look) {
    for (;;) {
      const found = look(this.stream);
      if (found !== null) return found;
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Has everybody look again. */
  wake() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  read() {
    return this.until((stream) => stream.read());
  }

  /** Resolves once flow control has taken all that was queued. */
  flushed() {
    return this.until((stream) => stream.flush() || null);
  }

  /** Passes all of `bytes` to `queue(stream, piece)`, as flow control takes them. */
  async write(bytes, queue) {
    for (let at = 0; at < bytes.length; at += MAX_CHUNK) {
      queue(this.stream, bytes.subarray(at, at + MAX_CHUNK));
      await this.flushed();
    }
  }

  /** Gives the stream back: who waits for it is told that it is lost, and the module forgets it. */
  close() {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    stream.close();
    stream.free();
    this.wake();
  }
}
