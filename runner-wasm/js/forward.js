// Services of this machine behind a tunnel: HTTP requests are made anew for the local server, streams are copied.

import { once } from "node:events";
import { request as ask } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";

import { takeUpgrade } from "./serve.js";

/** What ends at the next hop (RFC 9110 section 7.6.1), and is made anew there. */
const HOP_FIELDS = new Set(["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);

/** Where `target` is: `http://localhost:3000` or `tcp://localhost:5432`. */
export function placeOf(target) {
  const url = new URL(target);
  if (url.protocol !== "http:" && url.protocol !== "tcp:") throw new TypeError("a local service is http://.. or tcp://..");
  if (url.protocol === "tcp:" && url.port === "") throw new TypeError("a service of TCP needs a port");
  // IPv6 addresses stand in brackets in URLs alone.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { isHttp: url.protocol === "http:", host, port: Number(url.port || 80), name: url.host, path: url.pathname.replace(/\/$/, "") };
}

/** Answers requests with what the server at `place` answers. */
export function forwardHandler({ host, port, name, path }) {
  return async (request, { visitor }) => {
    const { pathname, search } = new URL(request.url);
    const headers = {};
    for (const [field, value] of request.headers) if (!HOP_FIELDS.has(field)) headers[field] = value;
    const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    if (isUpgrade) Object.assign(headers, { connection: "upgrade", upgrade: "websocket" });
    if (!request.body) delete headers["content-length"];
    const options = { host, port, method: request.method, path: path + pathname + search, headers, agent: false, signal: request.signal };
    const outgoing = ask(options);
    const answered = new Promise((resolve, reject) => {
      outgoing.once("response", (response) => resolve({ response }));
      outgoing.once("upgrade", (response, socket, head) => resolve({ response, socket, head }));
      outgoing.on("error", reject);
    });
    if (request.body) Readable.fromWeb(request.body).on("error", (error) => outgoing.destroy(error)).pipe(outgoing);
    else outgoing.end();
    try {
      const { response, socket, head } = await answered;
      return socket ? upgraded(response, socket, head) : partsOf(response);
    } catch (error) {
      if (request.signal.aborted) throw error;
      const body = `nothing answers at ${name}${visitor === undefined ? `: ${error.message}` : ""}\n`;
      return { status: 502, headers: { "content-type": "text/plain; charset=utf-8" }, body };
    }
  };
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

/** Whoever reads or writes a socket hears of its errors; without this, one between two reads would end the program. */
const ignoreErrors = (socket) => socket.on("error", () => {});

/** Copies a stream of the tunnel to the server at `place`, and back. */
export function pipeHandler({ host, port }) {
  return async ({ readable, writable }) => {
    const socket = ignoreErrors(connect({ host, port, allowHalfOpen: true }));
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

/** Writes all chunks to `socket`, as fast as it takes them, and ends it. */
async function copy(chunks, socket) {
  const gone = new AbortController();
  socket.once("close", () => gone.abort());
  for await (const chunk of chunks) {
    if (!socket.write(chunk)) await once(socket, "drain", { signal: gone.signal });
  }
  socket.end();
}
