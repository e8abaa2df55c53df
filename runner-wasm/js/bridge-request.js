// A request of a page as one to a service, with the fields that a browser adds behind a service worker, and back.

import { fieldsFrom, guardDocument, policyWith, withScript } from "./bridge-html.js";
import { saveAs } from "./bridge-saving.js";

/** Bytes of an upload that are read ahead of it to send it with its length, which small servers ask for. */
const MAX_KNOWN_BODY = 8 * 1024 * 1024;
/** What the browser can decode for us (Compression Streams). */
const CODINGS = ["gzip", "deflate"];
/** What the rest of a response is not asked for by again: it is of the same, or none. */
const PRECONDITIONS = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/** How a request came about, for cookies: the keys of `TAKEN` in cookies.js. */
export function cameBy(request, origin) {
  if (request.mode !== "navigate" || fromOwnPage(request, origin)) return "same";
  const isTopLevel = request.destination === "document";
  return isTopLevel && (request.method === "GET" || request.method === "HEAD") ? "link" : "cross";
}

/**
 * Whether another site sends something in the visitor's name, which a service that only a key opens does not expect. For such
 * requests the key counts as a cookie with `SameSite=Lax` does.
 */
export function isForged(request, origin) {
  return cameBy(request, origin) === "cross" && request.method !== "GET" && request.method !== "HEAD";
}

// A page cannot claim a referrer of another origin. Without one a navigation was typed, or came from anywhere.
const fromOwnPage = ({ referrer }, origin) => referrer.startsWith(`${origin}/`);

/** The fields to send for `request`; with `rest` those that ask for the rest of its response. */
export function fieldsOf(request, { host, origin, cookie, lastEventId = "", rest }) {
  const fields = new Headers(request.headers);
  fields.set("host", host);
  fields.set("user-agent", navigator.userAgent);
  if (!fields.has("accept-language")) fields.set("accept-language", navigator.languages?.join(",") || "*");
  fields.set("accept-encoding", typeof DecompressionStream === "function" ? CODINGS.join(", ") : "identity");
  if (request.referrer.startsWith("http")) fields.set("referer", request.referrer);
  const isSame = request.mode !== "navigate" || fromOwnPage(request, origin);
  if (request.method !== "GET" && request.method !== "HEAD") fields.set("origin", isSame ? origin : "null");
  fields.set("sec-fetch-dest", request.destination || "empty");
  fields.set("sec-fetch-mode", request.mode);
  fields.set("sec-fetch-site", isSame ? "same-origin" : "cross-site");
  if (cookie !== "") fields.set("cookie", cookie);
  if (lastEventId !== "" && !fields.has("last-event-id")) fields.set("last-event-id", lastEventId);
  if (rest === undefined) return fields;
  for (const name of PRECONDITIONS) fields.delete(name);
  for (const [name, value] of Object.entries(rest)) fields.set(name, value);
  return fields;
}

/** The body of `request`: whole if it is small, a stream if it is not; `undefined` if there is none. */
export async function bodyOf(request) {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  // Firefox has no stream of it.
  if (!request.body) return whole(await request.arrayBuffer());
  const reader = request.body.getReader();
  const ahead = [];
  let size = 0;
  while (size <= MAX_KNOWN_BODY) {
    const { done, value } = await reader.read();
    if (done) return whole(await new Blob(ahead).arrayBuffer());
    ahead.push(value);
    size += value.length;
  }
  return new ReadableStream({
    async pull(controller) {
      const next = ahead.shift();
      if (next) return controller.enqueue(next);
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

const whole = (buffer) => (buffer.byteLength === 0 ? undefined : buffer);

/**
 * The response for the browser, with `body`. `script` is what a page gets in front of its own, `events` watches a stream of events;
 * `saved` is the name of what is saved and not shown; `done` is called when the body has ended.
 */
export function responseFor(request, response, { body, script, events, saved, done }) {
  const { status, statusText } = response;
  const headers = fieldsFrom(response.headers);
  if (request.mode === "navigate") guardDocument(headers);
  if (saved !== undefined && status >= 400) {
    body?.cancel().catch(() => {});
    done();
    // Nobody sees the frame in which it would be shown.
    return new Response(null, { status: 204 });
  }
  if (saved !== undefined) saveAs(headers, saved);
  if (body === null || request.method === "HEAD") {
    done();
    return new Response(null, { status, statusText, headers });
  }
  const coding = headers.get("content-encoding")?.trim().toLowerCase();
  if (CODINGS.includes(coding)) {
    body = body.pipeThrough(new DecompressionStream(coding));
    headers.delete("content-encoding");
    headers.delete("content-length");
  }
  if (isPage(request, headers)) {
    const nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    body = withScript(body, `<script nonce="${nonce}">${script()}</script>`);
    headers.delete("content-length");
    const policy = headers.get("content-security-policy");
    if (policy !== null) headers.set("content-security-policy", policyWith(policy, nonce));
  }
  // Chromium gives up an `EventSource` whose stream breaks, and begins anew one that ends.
  const isEvents = /^\s*text\/event-stream\b/i.test(headers.get("content-type") ?? "");
  if (isEvents && events) body = events.watch(body);
  return new Response(until(body, done, isEvents), { status, statusText, headers });
}

function isPage(request, headers) {
  const isFrame = ["document", "iframe", "frame"].includes(request.destination);
  const type = headers.get("content-type") ?? "";
  const isAttached = /^\s*attachment\b/i.test(headers.get("content-disposition") ?? "");
  return isFrame && !isAttached && /^\s*(?:text\/html|application\/xhtml\+xml)\b/i.test(type);
}

/** `body`, with a call at its end, whatever that is. If `isQuiet`, a failure is an end, too. */
function until(body, done, isQuiet) {
  const reader = body.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done: isOver, value } = await reader.read();
          if (!isOver) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          if (isQuiet) controller.close();
          else controller.error(error);
        }
        done();
      },
      cancel(reason) {
        done();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
