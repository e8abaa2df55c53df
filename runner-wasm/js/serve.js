// Requests to a service of the page as `Request`s for its handler, and the handler's responses.

import { TunnelError } from "./error.js";
import { flatten, headersFrom, lengthOf, openBody, pump, readableFrom, withAllHeaders } from "./http.js";

/** Statuses without a body (RFC 9110 sections 6.4.1 and 15.3.6). */
const BODILESS_STATUS = new Set([101, 204, 205, 304]);

/** The function that the module calls for each request. */
export function exchangeHandler(handler) {
  return async (exchange) => {
    const abort = new AbortController();
    exchange.onReset(() => abort.abort(new TunnelError("visitor_gone", "the visitor went away")));
    const [method, target, headers, hasBody, service, visitor, from] = exchange.request();
    const parts = { method, target, headers: headersFrom(headers), body: hasBody ? exchange : undefined };
    const context = { service, visitor, from };
    const request = await requestFrom(parts, abort.signal);
    if (request === undefined) {
      await exchange.respond(400, "Bad Request", [], 0);
      return exchange.finish();
    }
    const response = partsOf(await handler(request, context));
    const sendsBody =
      request.method !== "HEAD" && !BODILESS_STATUS.has(response.status) && response.body !== null;
    try {
      const length = sendsBody ? response.length : 0;
      await exchange.respond(response.status, response.statusText, flatten(response.headers), length);
      if (sendsBody) await pump(response.body, (chunk) => exchange.write(chunk), abort.signal);
      await exchange.finish();
    } finally {
      // A body that is not sent must not go on being produced.
      if (response.body !== null && !response.body.locked) response.body.cancel().catch(() => {});
    }
  };
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
    return withAllHeaders(new Request(`${scheme}://${headers.get("host")}${path}`, init), headers);
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
function partsOf(response) {
  if (response instanceof Response) {
    if (response.type === "error" || response.status === 0) {
      throw new TypeError("the handler gave an error response");
    }
    const { status, statusText, headers, body } = response;
    return { status, statusText, headers, body, length: contentLength(headers) };
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
