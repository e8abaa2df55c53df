// Services of this machine behind a tunnel: HTTP requests are made anew for the local server, streams are copied.

import { once } from "node:events";
import { Agent, request as ask } from "node:http";
import { Agent as TlsAgent, request as askByTls } from "node:https";
import { connect, isIP } from "node:net";
import { Readable } from "node:stream";
import { connect as connectByTls } from "node:tls";

import { carryVisitors, takeUpgrade } from "./serve.js";
import { copy, ignoreErrors, write } from "./sockets.js";

/** What ends at the next hop (RFC 9110 section 7.6.1), and is made anew there. */
export const HOP_FIELDS = new Set(["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);
/** Requests that may be sent again when a connection that was kept turns out to be closed (RFC 9110 section 9.2.1). */
const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);
/** Addresses of a server that listens at all of its machine. */
const EVERYWHERE = ["0.0.0.0", "::"];

/**
 * Where `target` is: `http://localhost:3000`, `https://..` or `tcp://localhost:5432`; a port of this machine, or a server of
 * Node.js that listens at one, is HTTP.
 */
export function placeOf(target) {
  if (typeof target?.address === "function") return placeOf(urlOfServer(target.address()));
  const url = new URL(typeof target === "number" ? `http://localhost:${target}` : target);
  const { protocol } = url;
  if (!["http:", "https:", "tcp:"].includes(protocol)) throw new TypeError("a local service is http://.., https://.. or tcp://..");
  if (protocol === "tcp:" && url.port === "") throw new TypeError("a service of TCP needs a port");
  // IPv6 addresses stand in brackets in URLs alone.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const isTls = protocol === "https:";
  const port = Number(url.port || (isTls ? 443 : 80));
  return { isHttp: protocol !== "tcp:", isTls, host, port, name: url.host, path: url.pathname.replace(/\/$/, "") };
}

function urlOfServer(at) {
  if (typeof at?.port !== "number") throw new TypeError("the server does not listen at a port yet");
  const host = EVERYWHERE.includes(at.address) ? "localhost" : at.address;
  return `http://${host.includes(":") ? `[${host}]` : host}:${at.port}`;
}

/** A connection to the server at `place`. */
export function dial({ host, port, isTls }, options) {
  // Else the name would be that of the visitor's `Host`.
  const servername = isIP(host) ? "" : host;
  return ignoreErrors(isTls ? connectByTls({ host, port, servername, ...options }) : connect({ host, port, ...options }));
}

/** Answers requests with what the server at `place` answers. */
export function forwardHandler(place) {
  // Connections are kept for the next request, and closed by themselves when the program has nothing else to do.
  const agent = new (place.isTls ? TlsAgent : Agent)({ keepAlive: true });
  const handler = async (request) => {
    try {
      const { response, socket, head } = await exchange(place, agent, request);
      return socket ? upgraded(response, socket, head) : partsOf(response);
    } catch (error) {
      if (request.signal.aborted) throw error;
      const body = `${nothingAt(place)}: ${error.message}\n`;
      return { status: 502, headers: { "content-type": "text/plain; charset=utf-8" }, body };
    }
  };
  // A path has to be put in front of those that are asked for.
  if (place.path === "") carryVisitors(handler, (wire) => carry(wire, place));
  return handler;
}

const nothingAt = ({ name }) => `nothing answers at ${name}`;

/** Copies the bytes of a visitor's connection to the server at `place`, and back. */
async function carry(wire, place) {
  const socket = dial(place, { allowHalfOpen: true });
  let hasAnswered = false;
  const inwards = async () => {
    for (let chunk = await wire.read(); chunk !== undefined; chunk = await wire.read()) await write(socket, chunk);
    socket.end();
  };
  const send = (bytes) => wire.write(bytes, (stream, piece) => stream.send(piece));
  try {
    inwards().catch(() => socket.destroy());
    for await (const chunk of socket) {
      hasAnswered = true;
      await send(chunk);
    }
    wire.stream.finish();
  } catch {
    if (!hasAnswered) await refuse(send, wire, place).catch(() => {});
  } finally {
    socket.destroy();
    wire.close();
  }
}

async function refuse(send, wire, place) {
  const body = `${nothingAt(place)}\n`;
  const fields = `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  await send(Buffer.from(`HTTP/1.1 502 Bad Gateway\r\n${fields}\r\n\r\n${body}`));
  wire.stream.finish();
}

async function exchange({ isTls, host, port, path }, agent, request) {
  const { pathname, search } = new URL(request.url);
  const headers = {};
  for (const [field, value] of request.headers) if (!HOP_FIELDS.has(field)) headers[field] = value;
  const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  if (isUpgrade) Object.assign(headers, { connection: "upgrade", upgrade: "websocket" });
  if (!request.body) delete headers["content-length"];
  const { method, signal } = request;
  const servername = isIP(host) ? "" : host;
  const options = { host, port, servername, method, path: path + pathname + search, headers, signal };
  const isFresh = isUpgrade || Boolean(request.body) || !SAFE_METHODS.has(method);
  for (;;) {
    const outgoing = (isTls ? askByTls : ask)({ ...options, agent: isFresh ? false : agent });
    const answered = answerTo(outgoing);
    if (request.body) Readable.fromWeb(request.body).on("error", (error) => outgoing.destroy(error)).pipe(outgoing);
    else outgoing.end();
    try {
      return await answered;
    } catch (error) {
      if (!outgoing.reusedSocket || error.code !== "ECONNRESET" || signal.aborted) throw error;
    }
  }
}

/** What is answered: `{ response }`, or `{ response, socket, head }` after an upgrade. */
export function answerTo(outgoing) {
  return new Promise((resolve, reject) => {
    outgoing.once("response", (response) => resolve({ response }));
    outgoing.once("upgrade", (response, socket, head) => resolve({ response, socket, head }));
    outgoing.on("error", reject);
  });
}

function partsOf(response) {
  const { statusCode: status, statusMessage: statusText } = response;
  return { status, statusText, headers: fieldsOf(response), body: Readable.toWeb(response) };
}

function fieldsOf({ rawHeaders }) {
  const fields = new Headers();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!HOP_FIELDS.has(rawHeaders[at].toLowerCase())) fields.append(rawHeaders[at], rawHeaders[at + 1]);
  }
  return fields;
}

/** The server agreed to a WebSocket, whose frames nobody here has to understand. */
function upgraded(response, socket, head) {
  if (head.length > 0) socket.unshift(head);
  ignoreErrors(socket);
  return takeUpgrade(fieldsOf(response), async ({ read, write, close }) => {
    socket.once("close", close);
    const inwards = copy(chunksOf(read), socket);
    const outwards = (async () => {
      for await (const chunk of socket) await write(chunk);
    })();
    await Promise.all([inwards, outwards]).finally(() => socket.destroy());
  });
}

async function* chunksOf(read) {
  for (let chunk = await read(); chunk !== undefined; chunk = await read()) yield chunk;
}

/** Copies a stream of the tunnel to the server at `place`, and back. */
export function pipeHandler(place) {
  return async ({ readable, writable }) => {
    const socket = dial(place, { allowHalfOpen: true });
    try {
      await once(socket, "connect");
      await Promise.all([copy(readable, socket), copyBack(socket, writable.getWriter())]);
    } finally {
      socket.destroy();
    }
  };
}

async function copyBack(socket, writer) {
  for await (const chunk of socket) await writer.write(chunk);
  await writer.close();
}
