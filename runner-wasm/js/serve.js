// Requests from visitors, as `Request`s for a function of the page, and its answers back.

import { TunnelError } from "./error.js";
import { flat, headersOf, lengthOf, openBody, pump, readableOf, withAllHeaders } from "./http.js";

/** Statuses that never have a body. */
const BODILESS = new Set([101, 204, 205, 304]);

/** What the module calls for each request. */
export function answerer(handler) {
  return async (exchange) => {
    const away = new AbortController();
    exchange.whenGone(() => away.abort(new TunnelError("visitor_gone", "the visitor went away")));
    const context = { service: exchange.service, visitor: exchange.visitor, from: exchange.from };
    const request = await requestOf(exchange, away.signal);
    if (request === undefined) {
      await exchange.respond(400, "Bad Request", [], 0);
      return exchange.finish();
    }
    const answer = partsOf(await handler(request, context));
    const wanted = request.method !== "HEAD" && !BODILESS.has(answer.status) && answer.body !== null;
    try {
      const length = wanted ? answer.length : 0;
      await exchange.respond(answer.status, answer.statusText, flat(answer.headers), length);
      if (wanted) await pump(answer.body, (chunk) => exchange.write(chunk), away.signal);
      await exchange.finish();
    } finally {
      // A body that nobody takes is not produced any further.
      if (answer.body !== null && !answer.body.locked) answer.body.cancel().catch(() => {});
    }
  };
}

/** The request as pages know it; nothing if it cannot be one. */
async function requestOf(exchange, signal) {
  const headers = headersOf(exchange.headers);
  const scheme = headers.get("x-forwarded-proto") === "https" ? "https" : "http";
  const init = { method: exchange.method, headers, signal };
  if (exchange.hasBody && exchange.method !== "GET" && exchange.method !== "HEAD") {
    const body = readableOf(exchange);
    init.body = canStream() ? body : await new Response(body).arrayBuffer();
    init.duplex = "half";
  }
  try {
    const target = exchange.target.startsWith("/") ? exchange.target : "/";
    return withAllHeaders(new Request(`${scheme}://${headers.get("host")}${target}`, init), headers);
  } catch {
    return undefined;
  }
}

let streams;

/** Whether this browser takes a stream as the body of a request. One that does not asks for no `duplex`. */
function canStream() {
  if (streams === undefined) {
    let asked = false;
    const request = new Request("http://localhost", {
      method: "POST",
      body: new ReadableStream(),
      get duplex() {
        asked = true;
        return "half";
      },
    });
    streams = asked && !request.headers.has("content-type");
  }
  return streams;
}

/** A `Response`, or a plain object like its init with a `body`, which may set every field. */
function partsOf(answer) {
  if (answer instanceof Response) {
    if (answer.type === "error" || answer.status === 0) throw new TypeError("the handler gave an error response");
    const { status, statusText, headers, body } = answer;
    return { status, statusText, headers, body, length: declared(headers) };
  }
  if (answer === null || typeof answer !== "object") {
    throw new TypeError("the handler has to return a Response");
  }
  const headers = new Headers(answer.headers);
  const { stream, type } = openBody(answer.body);
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  const length = lengthOf(answer.body) ?? declared(headers);
  return { status: answer.status ?? 200, statusText: answer.statusText ?? "", headers, body: stream, length };
}

function declared(headers) {
  const length = headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}
