// `fetch` for the services of other identities.

import { TunnelError } from "./error.js";
import { flatten, headersFrom, lengthOf, openBody, pump, readableFrom, withProperties } from "./http.js";
import { ofUrl, requestTarget } from "./target.js";

/** Statuses with which a `Response` may have no body (Fetch, "null body status"). */
const NULL_BODY_STATUS = new Set([204, 205, 304]);
const REDIRECT_STATUS = new Set([301, 302, 303, 307, 308]);
/** As in the Fetch standard. */
const MAX_REDIRECTS = 20;
/** Requests that may be sent again when a connection that was kept turns out to be closed (RFC 9110 section 9.2.2). */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
/** Bytes of a response that are read though nobody asks for them: a small body that is never read holds no stream. */
const READ_AHEAD = 64 * 1024;
/** How often, and after which time, a request is sent again that the relay did not take; milliseconds. */
const BUSY_RETRIES = 5;
const BUSY_DELAY = 1000;
/** Content codings that browsers decode for pages by `DecompressionStream`. */
const CODINGS = { gzip: "gzip", "x-gzip": "gzip", deflate: "deflate" };

/** Sends a request to `target`; resolves to the `Response` once its head has arrived. */
export async function fetchFrom(pool, target, init) {
  const { signal, redirect = "follow" } = init;
  signal?.throwIfAborted();
  let { body = null } = init;
  let method = String(init.method ?? "GET");
  if (/^(get|head|post|put|delete|options)$/i.test(method)) method = method.toUpperCase();
  const headers = new Headers(init.headers);
  if ((method === "GET" || method === "HEAD") && body !== null) {
    throw new TypeError(`a ${method} request has no body`);
  }
  // The browser does not decode what comes by the tunnel, and `DecompressionStream` does not know every coding. Who asks for
  // one decodes it.
  const decodes = !headers.has("accept-encoding") && globalThis.DecompressionStream !== undefined;
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", decodes ? "gzip, deflate" : "identity");
  for (let redirects = 0; ; redirects += 1) {
    const request = { target, method, headers, body, signal, decodes };
    const response = await exchange(pool, request);
    const location = REDIRECT_STATUS.has(response.status) && response.headers.get("location");
    if (!location || redirect === "manual") {
      return withProperties(response, { url: target.url.href, redirected: redirects > 0 });
    }
    response.body?.cancel().catch(() => {});
    if (redirect === "error") throw new TypeError("the service redirects the request");
    if (redirects === MAX_REDIRECTS) throw new TypeError(`the service redirects more than ${MAX_REDIRECTS} times`);
    const next = redirected(target, location);
    if (next.address !== target.address || next.service !== target.service) headers.delete("authorization");
    target = next;
    headers.delete("host");
    if (response.status === 303 ? method !== "HEAD" : response.status < 303 && method === "POST") {
      method = "GET";
      body = null;
      for (const name of ["encoding", "language", "location", "type", "length"]) headers.delete(`content-${name}`);
    } else if (body instanceof ReadableStream) {
      throw new TypeError("the body of a redirected request is a stream, which cannot be sent again");
    }
  }
}

/** Where `location` leads from `target`, if that is within the tunnel. */
function redirected({ address, service, url: from }, location) {
  const url = new URL(location, from);
  if (url.hash === "") url.hash = from.hash;
  if (url.host === from.host) return { address, service, url };
  const other = ofUrl(url);
  if (other !== undefined) return other;
  throw new TunnelError(
    "redirected_away",
    `the service redirects to ${url.origin}, which the tunnel does not lead to`,
    'ask for it with redirect: "manual", and decide what to do with its Location',
  );
}

/** One request and its response, whatever that says. */
async function exchange(pool, { target, method, headers, body, signal, decodes }) {
  const isRepeatable = body === null && REPEATABLE.has(method);
  for (let retries = 0; ; ) {
    const lease = await pool.acquire(target, { isRepeatable, signal });
    const abort = () => pool.discard(lease);
    signal?.addEventListener("abort", abort, { once: true });
    const ending = {
      decodes,
      detach: () => signal?.removeEventListener("abort", abort),
      /** Replaces the errors that an abort causes by the signal's reason. */
      reasonFor: (error) => (signal?.aborted ? signal.reason : error),
    };
    let upload;
    try {
      upload = send(lease.wire, target, method, headers, body, signal);
      const head = await Promise.race([lease.wire.until((stream) => stream.head()), failureOf(upload)]);
      return responseFrom(pool, lease, head, method, ending);
    } catch (error) {
      ending.detach();
      pool.discard(lease);
      if (signal?.aborted) throw signal.reason;
      // The service has closed the connection while the request was on its way.
      if (lease.isReused && isRepeatable && (error.code === "stream_lost" || error.code === "bad_http")) continue;
      // The relay has not passed it on: others of this identity have all the streams.
      if (error.code !== "too_many" || body instanceof ReadableStream || retries === BUSY_RETRIES) throw error;
      retries += 1;
      await new Promise((resolve) => setTimeout(resolve, BUSY_DELAY * retries));
    }
  }
}

async function send(wire, { url }, method, headers, body, signal) {
  const { stream, type } = openBody(body);
  const fields = new Headers(headers);
  if (type !== null && !fields.has("content-type")) fields.set("content-type", type);
  if (!fields.has("host")) fields.set("host", url.host);
  wire.stream.begin(method, requestTarget(url), flatten(fields), lengthOf(body));
  if (stream !== null) {
    // The head goes without waiting for the first chunk, and nothing is taken of a body that the owner refuses.
    await wire.flushed();
    await wire.until((stream) => stream.accepted() || null);
    await pump(stream, (chunk) => wire.write(chunk, (stream, piece) => stream.send(piece)), signal);
  }
  wire.stream.endBody();
  return wire.flushed();
}

/** Rejects if the page's body stream failed. Never settles otherwise: a lost stream is reported by reading the response. */
function failureOf(upload) {
  return new Promise((_, reject) => {
    upload.catch((error) => {
      if (error?.code !== "stream_lost") reject(error);
    });
  });
}

function responseFrom(pool, lease, [status, statusText, list], method, { decodes, detach, reasonFor }) {
  const headers = headersFrom(list);
  if (status < 200 || status > 599) throw new TunnelError("bad_http", `a page takes no status ${status}`);
  const discard = () => {
    detach();
    pool.discard(lease);
  };
  const read = async () => {
    try {
      const chunk = await lease.wire.read();
      if (chunk === undefined) {
        detach();
        pool.release(lease, keepAliveOf(headers));
      }
      return chunk;
    } catch (error) {
      discard();
      throw reasonFor(error);
    }
  };
  let body = null;
  if (method === "HEAD" || NULL_BODY_STATUS.has(status)) {
    // Reads the end of the response, which gives the connection back.
    read().catch(() => {});
  } else {
    body = readableFrom(read, { onCancel: discard, onDropped: discard, ahead: READ_AHEAD });
    const coding = decodes && CODINGS[(headers.get("content-encoding") ?? "").trim().toLowerCase()];
    // A part of what was compressed cannot be decoded by itself.
    if (coding && status !== 206) {
      body = body.pipeThrough(new DecompressionStream(coding));
    }
  }
  return withProperties(new Response(body, { status, statusText, headers }), { headers });
}

/** The seconds of a `Keep-Alive` field (RFC 2068 section 19.7.1.1). */
function keepAliveOf(headers) {
  const [, seconds] = /timeout=(\d+)/i.exec(headers.get("keep-alive") ?? "") ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}
