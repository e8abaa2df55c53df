// A stream of the tunnel as a `Duplex` of Node.js, for libraries that take a socket.

import { Duplex } from "node:stream";

export class TunnelDuplex extends Duplex {
  #open;
  #reader;
  #writer;
  #abort = new AbortController();

  /** `open(signal)` resolves to the halves of a stream. */
  constructor(open) {
    super({ allowHalfOpen: true });
    this.#open = open;
  }

  _construct(callback) {
    this.#start().then(() => callback(), callback);
  }

  async #start() {
    const { readable, writable } = await this.#open(this.#abort.signal);
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    // As a socket says it, once the listeners of the constructor's caller are there.
    process.nextTick(() => this.emit("connect"));
  }

  _read() {
    this.#reader.read().then(
      ({ done, value }) => this.push(done ? null : value),
      (error) => this.destroy(error),
    );
  }

  _write(chunk, _encoding, callback) {
    this.#writer.write(chunk).then(() => callback(), callback);
  }

  _final(callback) {
    this.#writer.close().then(() => callback(), callback);
  }

  _destroy(error, callback) {
    this.#abort.abort(error ?? undefined);
    callback(error);
  }

  // Libraries set these on sockets; here they change nothing.
  setKeepAlive() {
    return this;
  }

  setNoDelay() {
    return this;
  }

  setTimeout() {
    return this;
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }
}
