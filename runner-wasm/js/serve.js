// Requests to a service of the page as `Request`s for its handler, and the handler's responses.

import { TunnelError } from "./error.js";
import { bytesOf, flatten, headersFrom, lengthOf, openBody, pump, readableFrom, withProperties } from "./http.js";
import { acceptWebSocket } from "./websocket.js";
import { Wire } from "./wire.js";

/** Statuses without a body (RFC 9110 sections 6.4.1 and 15.3.6). */
const BODILESS_STATUS = new Set([101, 204, 205, 304]);
/**
 * Bytes of a request's body that are read though the handler did not, to keep the connection for the next request: as much
 * as may have been sent before the response arrived.
 */
const MAX_DISCARDED = 256 * 1024;
/** Bytes of a response that are collected to find out its length. */
const MAX_COLLECTED = 64 * 1024;

/** The sockets that responses of `context.upgrade()` stand for. */
const upgrades = new WeakMap();

/**
 * A response that changes the connection to a WebSocket: `fields` are those of the 101, and `open` gets the bytes after it, as
 * `{ read, write, close }`; the connection ends when it resolves.
 */
export function takeUpgrade(fields, open) {
  const response = { status: 101 };
  upgrades.set(response, { fields, open });
  return response;
}

/** What carries the bytes of a visitor's connection, where a handler has something for them. */
const carriers = new WeakMap();

/**
 * Has visitors' connections carried by `carry(wire)`, without a look at the requests: the relay has done to them what an
 * intermediary has to. Requests of identities still come to `handler`.
 */
export function carryVisitors(handler, carry) {
  carriers.set(handler, carry);
}

/**
 * The function that the module calls for each connection to a service of HTTP. `headTimeout` is how long the next request
 * may take to arrive, in milliseconds; `onError` hears of what `handler` throws; connections take no other request once
 * `withdrawn` is aborted.
 */
export function httpHandler(service, handler, { headTimeout, onError, withdrawn }) {
  return async (connection, from) => {
    const carry = from === undefined ? carriers.get(handler) : undefined;
    if (carry !== undefined) return carry(new Wire(connection.intoStream()));
    const wire = new Wire(connection);
    const wake = () => wire.wake();
    withdrawn.addEventListener("abort", wake);
    try {
      const exchange = { wire, handler, onError, service, from };
      for (;;) {
        const head = await nextHead(wire, headTimeout, withdrawn);
        if (head === undefined || !(await answer(head, exchange))) break;
      }
      wire.stream.finish();
    } catch (error) {
      if (error?.code === "bad_http") await reject(wire, "400 Bad Request").catch(() => {});
    } finally {
      withdrawn.removeEventListener("abort", wake);
      wire.close();
    }
  };
}

/** The next request; `undefined` if there is none in time, or the service is withdrawn before one has begun. */
async function nextHead(wire, timeout, withdrawn) {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    wire.wake();
  }, timeout);
  try {
    const isOver = (stream) => isLate || (withdrawn.aborted && stream.isIdle());
    const head = await wire.until((stream) => (isOver(stream) ? undefined : stream.next()));
    if (isLate && !wire.stream.isIdle()) await reject(wire, "408 Request Timeout");
    return head;
  } finally {
    clearTimeout(timer);
  }
}

async function reject(wire, status) {
  wire.stream.reject(status);
  await wire.flushed();
  wire.stream.finish();
}

/** Answers one request. Returns whether another one may follow. */
async function answer([method, target, list, hasBody, isLast], { wire, handler, onError, service, from }) {
  const abort = new AbortController();
  const headers = headersFrom(list);
  let isOver = false;
  const gone = wire.until((stream) => (isOver || stream.isReset() ? true : null)).catch(() => {});
  gone.then(() => isOver || abort.abort(new TunnelError("visitor_gone", "the visitor went away")));
  const read = () =>
    wire.until((stream) => {
      if (isOver) throw new TunnelError("visitor_gone", "the request is over");
      return stream.read();
    });
  const context = { service, visitor: visitorOf(headers, from), from };
  const work = (async () => {
    const parts = { method, target, headers, body: hasBody ? read : undefined };
    const request = await requestFrom(parts, abort.signal);
    if (request === undefined) return sendParts(wire, { status: 400, headers: new Headers(), body: null, length: 0 });
    context.upgrade = ({ protocol } = {}) => {
      const { socket, fields, open, fail } = acceptWebSocket(request, protocol);
      const response = takeUpgrade(fields, open);
      abort.signal.addEventListener("abort", () => fail(), { once: true });
      return { response, socket };
    };
    const response = await handler(request, context);
    if (upgrades.has(response)) return upgrade(wire, upgrades.get(response));
    return sendParts(wire, await partsOf(response), method, abort.signal);
  })();
  try {
    await Promise.race([work, gone.then(() => isOver || Promise.reject(abort.signal.reason))]);
  } catch (error) {
    work.catch(() => {});
    if (abort.signal.aborted) return false;
    onError(error);
    if (wire.stream.fail()) await wire.flushed();
    // Whoever reads it would take an orderly end for a complete response.
    else wire.stream.reset();
    return false;
  } finally {
    isOver = true;
    wire.wake();
  }
  return !isLast && method !== "CONNECT" && wire.stream.isHttp() && discardBody(wire);
}

/** The visitor's address as the relay saw it; what an identity says of visitors has been removed. */
function visitorOf(headers, from) {
  return from === undefined ? headers.get("x-forwarded-for")?.split(",")[0].trim() : undefined;
}

/** A `Request` of its parts; `undefined` if the browser accepts none with this method, host or fields. */
async function requestFrom({ method, target, headers, body }, signal) {
  const scheme = headers.get("x-forwarded-proto") === "https" ? "https" : "http";
  const init = { method, headers, signal };
  if (body !== undefined && method !== "GET" && method !== "HEAD") {
    const stream = readableFrom(body);
    init.body = supportsRequestStreams() ? stream : await new Response(stream).arrayBuffer();
    init.duplex = "half";
  }
  try {
    const path = target.startsWith("/") ? target : "/";
    return withProperties(new Request(`${scheme}://${headers.get("host")}${path}`, init), { headers });
  } catch {
    return undefined;
  }
}

let requestStreams;

/** Whether this browser accepts a stream as a request body. Only one that does reads `duplex`. */
function supportsRequestStreams() {
  if (requestStreams === undefined) {
    let readsDuplex = false;
    const request = new Request("http://localhost", {
      method: "POST",
      body: new ReadableStream(),
      get duplex() {
        readsDuplex = true;
        return "half";
      },
    });
    requestStreams = readsDuplex && !request.headers.has("content-type");
  }
  return requestStreams;
}

/** The parts of a `Response`, or of a plain object with the members of its init and a `body`. */
async function partsOf(response) {
  if (response instanceof Response) {
    if (response.type === "error" || response.status === 0) {
      throw new TypeError("the handler gave an error response");
    }
    const { status, statusText, headers, body } = response;
    const length = body === null ? 0 : contentLength(headers);
    if (length !== undefined) return { status, statusText, headers, body, length };
    return { status, statusText, headers, ...(await collect(body)) };
  }
  if (response === null || typeof response !== "object") {
    throw new TypeError("the handler has to return a Response");
  }
  const headers = new Headers(response.headers);
  const { stream, type } = openBody(response.body);
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  const length = lengthOf(response.body) ?? contentLength(headers);
  const { status = 200, statusText = "" } = response;
  return { status, statusText, headers, body: stream, length };
}

function contentLength(headers) {
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

/**
 * A body and its length, if all of it is there already: that of `new Response("text")` is. What is not there by the next
 * task is not waited for.
 */
async function collect(body) {
  const reader = body.getReader();
  const chunks = [];
  let length = 0;
  let next = reader.read();
  while (length <= MAX_COLLECTED) {
    const result = await Promise.race([next, nextTask()]);
    if (result === undefined) break;
    if (result.done) return { body: readableFrom(async () => chunks.shift()), length };
    const bytes = bytesOf(result.value);
    chunks.push(bytes);
    length += bytes.length;
    next = reader.read();
  }
  const rest = async () => {
    if (chunks.length > 0) return chunks.shift();
    const { done, value } = await next;
    if (done) return undefined;
    next = reader.read();
    // Reported when it is read.
    next.catch(() => {});
    return bytesOf(value);
  };
  next.catch(() => {});
  return { body: readableFrom(rest, { onCancel: (reason) => reader.cancel(reason) }), length: undefined };
}

/** Resolves in the next task. Timers of pages in the background would take a second. */
function nextTask() {
  return new Promise((resolve) => {
    // Where there is one, it takes less than making a channel.
    if (globalThis.setImmediate !== undefined) return setImmediate(resolve);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

async function sendParts(wire, { status, statusText = "", headers, body, length }, method, signal) {
  const sendsBody = method !== "HEAD" && !BODILESS_STATUS.has(status) && body !== null;
  try {
    const announced = sendsBody || method === "HEAD" ? length : 0;
    wire.stream.respond(status, statusText, flatten(headers), announced);
    await wire.flushed();
    if (sendsBody) await pump(body, (bytes) => wire.write(bytes, (stream, piece) => stream.write(piece)), signal);
    wire.stream.endResponse();
    await wire.flushed();
  } finally {
    // A body that is not sent must not go on being produced.
    if (body !== null && !body.locked) body.cancel().catch(() => {});
  }
}

/** Changes the connection to a WebSocket; resolves at its end. */
async function upgrade(wire, { fields, open }) {
  wire.stream.upgrade("websocket", flatten(fields));
  await wire.flushed();
  let isClosed = false;
  await open({
    read: () => wire.until((stream) => (isClosed ? undefined : stream.read())),
    write: (bytes) => wire.write(bytes, (stream, piece) => stream.write(piece)),
    close: () => {
      isClosed = true;
      wire.wake();
    },
  });
  wire.stream.endResponse();
}

/** Reads the rest of the request's body. `false` if it is longer than is worth it. */
async function discardBody(wire) {
  for (let discarded = 0; discarded <= MAX_DISCARDED; ) {
    const chunk = await wire.read();
    if (chunk === undefined) return true;
    discarded += chunk.length;
  }
  return false;
}
