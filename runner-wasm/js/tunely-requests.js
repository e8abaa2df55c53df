// Requests that a server of Tunely sends as messages: texts alone, whole, but for server-sent events.
//
// Servers parse the body of an answer as JSON and send the value, so a body is sent as a JSON string, which arrives unchanged.

import { request as ask } from "node:http";
import { request as askByTls } from "node:https";
import { isIP } from "node:net";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

import { HOP_FIELDS, answerTo } from "./forward.js";

/** Requests at once. One more is answered with 503. */
const MAX_REQUESTS = 256;
/** Bytes of an answer, and of its message: servers take 16 MiB in one. */
const MAX_MESSAGE = 16 * 1024 * 1024;
/** What is made anew toward the target. Nothing compressed is asked for, since a message holds text. */
const OWN_FIELDS = new Set(["host", "content-length", "expect", "accept-encoding"]);
/** What is not true of a body that was decoded, or sent in other pieces. */
const BODY_FIELDS = new Set(["content-length", "content-encoding"]);
/** For services that compress what nobody asked for. */
const DECODERS = { gzip: createGunzip, "x-gzip": createGunzip, deflate: createInflate, br: createBrotliDecompress };

/** An answer that is not the target's. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Requests {
  #place;
  #link;
  #timeout;
  #running = new Set();

  /** `link` has `say(message)`, which resolves when there is room for more; `timeout` is in milliseconds. */
  constructor(place, link, timeout) {
    this.#place = place;
    this.#link = link;
    this.#timeout = timeout;
  }

  async handle(request) {
    const answer = new Answer(request.id, this.#link);
    if (this.#running.size >= MAX_REQUESTS) return answer.fail(503, "too many requests at once");
    const abort = new AbortController();
    this.#running.add(abort);
    const limit = typeof request.timeout === "number" ? request.timeout * 1000 : this.#timeout;
    const timer = setTimeout(() => abort.abort(new Refusal(504, "the target did not answer in time")), limit);
    try {
      const response = await this.#ask(request, abort.signal);
      await answer.send(response, () => clearTimeout(timer));
    } catch (error) {
      const { status, message } = abort.signal.aborted ? abort.signal.reason : error;
      await answer.fail(status ?? 503, status === undefined ? `the target cannot be reached: ${message}` : message);
    } finally {
      clearTimeout(timer);
      this.#running.delete(abort);
    }
  }

  /** The link is over: nobody waits for the answers. */
  clear() {
    for (const abort of this.#running) abort.abort(new Refusal(503, "the link is lost"));
  }

  #ask({ method, path, headers, body }, signal) {
    const { host, port, isTls, path: base } = this.#place;
    const fields = { "accept-encoding": "identity" };
    for (const [name, value] of Object.entries(headers ?? {})) {
      const field = name.toLowerCase();
      if (field === "upgrade") throw new Refusal(501, "upgrades cannot pass as a request");
      if (!HOP_FIELDS.has(field) && !OWN_FIELDS.has(field)) fields[field] = String(value);
    }
    const bytes = Buffer.from(textOf(body));
    const verb = String(method).toUpperCase();
    if (bytes.length > 0 || ["POST", "PUT", "PATCH"].includes(verb)) fields["content-length"] = bytes.length;
    // Servers decode a path incompletely: what is not allowed in a request is encoded again, and dot segments are removed.
    const { pathname, search } = new URL(`http://localhost${String(path).replace(/^(?!\/)/, "/")}`);
    const servername = isIP(host) ? "" : host;
    const options = { host, port, servername, method: verb, path: base + pathname + search, headers: fields, agent: false, signal };
    if (verb === "CONNECT") throw new Refusal(501, "upgrades cannot pass as a request");
    const outgoing = (isTls ? askByTls : ask)(options);
    const answered = answerTo(outgoing);
    outgoing.end(bytes);
    return answered.then(({ response }) => response);
  }
}

/** The answer to the request `id`. */
class Answer {
  #id;
  #link;
  #began = Date.now();

  constructor(id, link) {
    this.#id = id;
    this.#link = link;
  }

  /** Sends a response of the target; `onHead` is called once what follows has no time limit. */
  async send(response, onHead) {
    const { statusCode: status } = response;
    if (status === undefined || status < 200 || status > 599) throw new Refusal(502, "the target's answer has no usable status");
    const headers = headersOf(response);
    const coding = (response.headers["content-encoding"] ?? "identity").trim().toLowerCase();
    const body = DECODERS[coding] === undefined ? response : response.pipe(DECODERS[coding]());
    response.once("error", (error) => body.destroy(error));
    if (/^text\/event-stream\b/i.test(headers["content-type"] ?? "")) {
      onHead();
      return this.#stream(status, headers, body);
    }
    const chunks = [];
    let length = 0;
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_MESSAGE) throw tooLarge();
    }
    const text = decoded(Buffer.concat(chunks), headers);
    const message = this.#message("response", { status, headers, body: JSON.stringify(text), error: null });
    if (Buffer.byteLength(JSON.stringify(message)) > MAX_MESSAGE) throw tooLarge();
    return this.#link.say(message);
  }

  fail(status, error) {
    const headers = { "content-type": "text/plain; charset=utf-8" };
    return this.#link.say(this.#message("response", { status, headers, body: JSON.stringify(`${error}\n`), error }));
  }

  async #stream(status, headers, body) {
    await this.#link.say({ type: "stream_start", id: this.#id, status, headers });
    const decoder = new TextDecoder();
    let sequence = 0;
    let error = null;
    try {
      for await (const chunk of body) {
        const data = decoder.decode(chunk, { stream: true });
        if (data !== "") await this.#link.say({ type: "stream_chunk", id: this.#id, data, sequence: sequence++, encoding: "plain" });
      }
    } catch (fault) {
      error = fault.message;
    }
    return this.#link.say(this.#message("stream_end", { error, total_chunks: sequence }));
  }

  #message(type, members) {
    return { type, id: this.#id, ...members, duration_ms: Date.now() - this.#began };
  }
}

const tooLarge = () => new Refusal(502, "the target's answer is too large for this server's messages");

/** What a server means by a body: it sends what is no JSON document as a JSON string. */
function textOf(body) {
  if (typeof body !== "string") return "";
  try {
    return body.startsWith('"') ? String(JSON.parse(body)) : body;
  } catch {
    return body;
  }
}

/** `name` with upper-case letters where `number` has ones. */
function respelled(name, number) {
  return Array.from(name, (letter, at) => (number & (1 << at) ? letter.toUpperCase() : letter)).join("");
}

/** The text of a body; its charset is UTF-8 from here on. */
function decoded(bytes, headers) {
  const type = headers["content-type"] ?? "";
  const [, charset = "utf-8"] = /charset="?([^\s;"]+)/i.exec(type) ?? [];
  try {
    const text = new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes);
    if (headers["content-type"]) headers["content-type"] = type.replace(/(charset=)"?[^\s;"]+"?/i, "$1utf-8");
    return text;
  } catch {
    throw new Refusal(502, "the target's answer is no text, and this server carries text alone");
  }
}

/** One value for each name, as these messages have it; cookies, which cannot be joined, under names in different spellings. */
function headersOf({ rawHeaders }) {
  const headers = {};
  let cookies = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    let [name, value] = [rawHeaders[at].toLowerCase(), rawHeaders[at + 1]];
    if (HOP_FIELDS.has(name) || BODY_FIELDS.has(name)) continue;
    if (name === "set-cookie") name = respelled(name, cookies++);
    headers[name] = Object.hasOwn(headers, name) ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}
