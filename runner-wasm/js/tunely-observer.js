// Tells which requests pass on a connection, of which every byte goes on as it came (RFC 9112, as far as framing needs it).

/** The longest head that is looked at, in bytes; a connection with a longer one is not looked at any more. */
const MAX_HEAD = 16 * 1024;
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.[01]$/;

export class RequestObserver {
  #onRequest;
  /** What is kept of a head, or of a line between chunks. */
  #text = "";
  /** Bytes of the body until what is looked at next. */
  #left = 0;
  /** What takes the next text up to `#end`; `undefined` if nothing is looked at any more. */
  #next = this.#head;
  #end = "\r\n\r\n";

  constructor(onRequest) {
    this.#onRequest = onRequest;
  }

  /** The next bytes from the client. */
  handle(bytes) {
    let at = 0;
    while (at < bytes.length && this.#next !== undefined) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, bytes.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      const before = this.#text.length;
      const text = this.#text + latin1(bytes.subarray(at, at + MAX_HEAD));
      const end = text.indexOf(this.#end, Math.max(before - this.#end.length, 0));
      if ((end < 0 ? text.length : end) > MAX_HEAD) return this.#stop();
      if (end < 0) {
        this.#text = text;
        at += text.length - before;
        continue;
      }
      at += end + this.#end.length - before;
      this.#text = "";
      this.#next(text.slice(0, end));
    }
  }

  #head(text) {
    const [line, ...fields] = text.replace(/^(\r\n)+/, "").split("\r\n");
    const [, method, path] = REQUEST_LINE.exec(line) ?? [];
    if (method === undefined) return this.#stop();
    const headers = {};
    for (const field of fields) {
      const colon = field.indexOf(":");
      const name = field.slice(0, colon).toLowerCase();
      const value = field.slice(colon + 1).trim();
      headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
    }
    this.#onRequest({ method, path, headers });
    if (method === "CONNECT" || Object.hasOwn(headers, "upgrade")) return this.#stop();
    if (Object.hasOwn(headers, "transfer-encoding")) return this.#await("\r\n", this.#chunk);
    this.#left = Number(headers["content-length"] ?? 0);
    return Number.isSafeInteger(this.#left) && this.#left >= 0 ? undefined : this.#stop();
  }

  #chunk(line) {
    const size = /^[0-9a-f]{1,12}(?=$|[;\s])/i.exec(line);
    if (size === null) return this.#stop();
    const bytes = Number.parseInt(size[0], 16);
    if (bytes === 0) return this.#await("\r\n", this.#trailer);
    this.#left = bytes + 2;
    return undefined;
  }

  #trailer(line) {
    if (line === "") this.#await("\r\n\r\n", this.#head);
  }

  #await(end, next) {
    this.#end = end;
    this.#next = next;
  }

  #stop() {
    this.#next = undefined;
    this.#text = "";
  }
}

const latin1 = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice();
