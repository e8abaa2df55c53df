// A WebSocket (RFC 6455) over a stream of bytes to a service, with the fields that a browser would send.

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Bytes of a response's head, as for other responses. */
const MAX_HEAD = 64 * 1024;
/** Bytes of a message: a page has it in memory as a whole. */
const MAX_MESSAGE = 64 * 1024 * 1024;
/** Bytes of one write. */
const MAX_CHUNK = 64 * 1024;
/** How long the service may take to end its half after a close, milliseconds. */
const LINGER = 5000;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** The connection failed: with this code, for this reason. */
class SocketFailure extends Error {
  constructor(code, reason) {
    super(reason);
    this.code = code;
  }
}

/**
 * A connection over `streams`. `on` has the functions `open({ protocol, headers })`, `message(data)` with a string or an
 * `ArrayBuffer`, and `close(code, reason, wasClean)`, which is the last one.
 */
export class BridgeSocket {
  #writer;
  #reader;
  #on;
  #unread = [];
  #unreadBytes = 0;
  #isClosing = false;
  #isOver = false;
  #queue = Promise.resolve();

  constructor(streams, request, on) {
    this.#writer = streams.writable.getWriter();
    this.#reader = streams.readable.getReader();
    this.#on = on;
    this.#run(request).catch((error) => this.#fail(error));
  }

  /** Sends a message; resolves when flow control has taken it. */
  send(data) {
    if (this.#isClosing || this.#isOver) return Promise.resolve();
    return typeof data === "string"
      ? this.#frame(TEXT, new TextEncoder().encode(data))
      : this.#frame(BINARY, new Uint8Array(data));
  }

  /** Begins to close it (RFC 6455 section 7.1.2). */
  close(code = 1005, reason = "") {
    if (this.#isClosing || this.#isOver) return;
    this.#isClosing = true;
    this.#frame(CLOSE, closeBody(code, reason)).catch(() => {});
  }

  /** Gives up the connection without a word. */
  abort() {
    this.#finish(1006, "", false);
  }

  async #run({ path, headers, protocols }) {
    const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    const lines = [`GET ${path} HTTP/1.1`];
    for (const [name, value] of headers) lines.push(`${name}: ${value}`);
    lines.push("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${key}`);
    if (protocols.length > 0) lines.push(`Sec-WebSocket-Protocol: ${protocols.join(", ")}`);
    await this.#writer.write(latin1(`${lines.join("\r\n")}\r\n\r\n`));
    const head = await this.#head();
    const protocol = await checkHead(head, key, protocols);
    this.#on.open({ protocol, headers: head.headers });
    await this.#receive();
  }

  async #head() {
    for (;;) {
      const bytes = this.#join();
      const text = new TextDecoder("latin1").decode(bytes.subarray(0, MAX_HEAD));
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#putBack(bytes.subarray(end + 4));
        const [first, ...lines] = text.slice(0, end).split("\r\n");
        const headers = lines.map((line) => line.split(/:(.*)/s)).map(([name, value = ""]) => [name.toLowerCase(), value.trim()]);
        return { status: Number(first.split(" ")[1]), headers };
      }
      if (bytes.length >= MAX_HEAD) throw new SocketFailure(1006, "the head is too large");
      this.#putBack(bytes);
      await this.#more();
    }
  }

  async #receive() {
    let message = [];
    let kind;
    let size = 0;
    for (;;) {
      const [first, second] = await this.#take(2);
      const [isLast, opcode] = [(first & 0x80) !== 0, first & 0x0f];
      if ((first & 0x70) !== 0 || (second & 0x80) !== 0) throw new SocketFailure(1002, "a frame is malformed");
      const length = await this.#length(second & 0x7f);
      if (opcode >= CLOSE) {
        if (!isLast || length > 125) throw new SocketFailure(1002, "a control frame is malformed");
        if (await this.#control(opcode, await this.#take(length))) return;
        continue;
      }
      const isFirst = kind === undefined;
      if (isFirst !== (opcode !== 0) || opcode > BINARY) throw new SocketFailure(1002, "a frame is out of order");
      if (isFirst) kind = opcode;
      size += length;
      if (size > MAX_MESSAGE) throw new SocketFailure(1009, "a message is too large");
      message.push(await this.#take(length));
      if (!isLast) continue;
      const whole = joined(message, size);
      this.#on.message(kind === TEXT ? decoded(whole) : whole.buffer);
      [message, kind, size] = [[], undefined, 0];
    }
  }

  async #length(short) {
    if (short < 126) return short;
    const bytes = await this.#take(short === 126 ? 2 : 8);
    return bytes.reduce((length, byte) => length * 256 + byte, 0);
  }

  /** Returns whether the connection has ended. */
  async #control(opcode, body) {
    if (opcode === PING) await this.#frame(PONG, body);
    if (opcode !== CLOSE) return false;
    if (body.length === 1) throw new SocketFailure(1002, "a close is malformed");
    const code = body.length === 0 ? 1005 : body[0] * 256 + body[1];
    const reason = decoded(body.subarray(2));
    if (!this.#isClosing) {
      this.#isClosing = true;
      await this.#frame(CLOSE, body.subarray(0, 2)).catch(() => {});
    }
    this.#finish(code, reason, true);
    return true;
  }

  /** Writes a frame after those before it, masked with a key of its own (RFC 6455 section 5.3). */
  #frame(opcode, body) {
    const mask = crypto.getRandomValues(new Uint8Array(4));
    const masked = new Uint8Array(body.length);
    for (let at = 0; at < body.length; at += 1) masked[at] = body[at] ^ mask[at & 3];
    const head = [0x80 | opcode];
    if (body.length < 126) head.push(0x80 | body.length);
    else if (body.length < 65536) head.push(0x80 | 126, body.length >> 8, body.length & 0xff);
    else {
      const length = new DataView(new ArrayBuffer(8));
      length.setBigUint64(0, BigInt(body.length));
      head.push(0x80 | 127, ...new Uint8Array(length.buffer));
    }
    const frame = joined([Uint8Array.from(head), mask, masked], head.length + 4 + body.length);
    const written = this.#queue.then(async () => {
      for (let at = 0; at < frame.length; at += MAX_CHUNK) await this.#writer.write(frame.subarray(at, at + MAX_CHUNK));
    });
    this.#queue = written.catch(() => {});
    return written;
  }

  #fail(error) {
    if (this.#isOver) return;
    if (error instanceof SocketFailure && error.code !== 1006) {
      this.#isClosing = true;
      this.#frame(CLOSE, closeBody(error.code, error.message)).catch(() => {});
    }
    this.#finish(1006, "", false);
  }

  #finish(code, reason, wasClean) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#on.close(code, reason, wasClean);
    const timer = setTimeout(() => this.#reader.cancel().catch(() => {}), wasClean ? LINGER : 0);
    const end = async () => {
      await this.#queue;
      await this.#writer.close();
      // A stream that is torn down loses what was written last.
      while (!(await this.#reader.read()).done);
      clearTimeout(timer);
    };
    end().catch(() => {});
  }

  async #more() {
    const { done, value } = await this.#reader.read();
    if (done) throw new SocketFailure(1006, "the connection ended");
    this.#unread.push(value);
    this.#unreadBytes += value.length;
  }

  async #take(count) {
    while (this.#unreadBytes < count) await this.#more();
    const bytes = this.#join();
    this.#putBack(bytes.subarray(count));
    return bytes.subarray(0, count);
  }

  #join() {
    const bytes = this.#unread.length === 1 ? this.#unread[0] : joined(this.#unread, this.#unreadBytes);
    [this.#unread, this.#unreadBytes] = [[], 0];
    return bytes;
  }

  #putBack(bytes) {
    if (bytes.length > 0) this.#unread = [bytes];
    this.#unreadBytes = bytes.length;
  }
}

/** Checks the answer to an upgrade (RFC 6455 section 4.1); the protocol that was chosen, or `""`. */
async function checkHead({ status, headers }, key, protocols) {
  const field = (name) => headers.find(([other]) => other === name)?.[1];
  const hash = await crypto.subtle.digest("SHA-1", latin1(key + GUID));
  const accept = btoa(String.fromCharCode(...new Uint8Array(hash)));
  const protocol = field("sec-websocket-protocol") ?? "";
  const isAccepted =
    status === 101 &&
    field("upgrade")?.toLowerCase() === "websocket" &&
    field("sec-websocket-accept") === accept &&
    field("sec-websocket-extensions") === undefined &&
    (protocol === "" || protocols.includes(protocol));
  if (!isAccepted) throw new SocketFailure(1006, "the service did not accept the upgrade");
  return protocol;
}

function closeBody(code, reason) {
  if (code === 1005) return new Uint8Array();
  return Uint8Array.from([code >> 8, code & 0xff, ...new TextEncoder().encode(reason)]);
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SocketFailure(1007, "a text is no UTF-8");
  }
}

function joined(parts, size) {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function latin1(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
