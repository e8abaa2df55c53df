// `fetch` for the services of other identities.

import { TunnelError } from "./error.js";
import { flat, headersOf, lengthOf, openBody, pump, readableOf, withAllHeaders } from "./http.js";

/** Statuses whose `Response` takes no body. */
const BODILESS = new Set([204, 205, 304]);

/** `G.../service` as its two parts. */
export function targetOf(target) {
  const [address, service, ...rest] = String(target).split("/");
  if (!address || !service || rest.length > 0) {
    throw new TunnelError("bad_target", "a service of an identity is written G.../service");
  }
  return { address, service };
}

/** Sends a request, and gives the response when its head is here. */
export async function fetchOver(runner, target, path, init, host) {
  const { address, service } = targetOf(target);
  const { signal, body } = init;
  signal?.throwIfAborted();
  const method = String(init.method ?? "GET");
  const headers = new Headers(init.headers);
  if ((method === "GET" || method === "HEAD") && body !== undefined && body !== null) {
    throw new TypeError(`a ${method} request has no body`);
  }
  const { stream, type } = openBody(body);
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  if (!headers.has("host")) headers.set("host", host(address, service));
  // Pages cannot undo a coding themselves, and here no browser does it for them.
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  const at = String(path ?? "/");
  if (!at.startsWith("/")) throw new TypeError("the path has to start with a slash");
  const call = runner.call(address, service, method, encodePath(at), flat(headers), lengthOf(body));

  const abort = () => call.abort();
  signal?.addEventListener("abort", abort, { once: true });
  const over = () => signal?.removeEventListener("abort", abort);
  /** What broke because of an abort is the abort. */
  const reason = (error) => (signal?.aborted ? signal.reason : error);

  const upload = send(call, stream, signal);
  // Whether it matters is seen below: a service may answer without having read everything.
  upload.catch(() => {});
  try {
    const head = await Promise.race([call.head(), failureOf(upload)]);
    return responseOf(head, method, call, over, reason);
  } catch (error) {
    over();
    call.abort();
    stream?.cancel().catch(() => {});
    throw reason(error);
  }
}

async function send(call, stream, signal) {
  if (stream === null) return call.send(undefined);
  // The head goes ahead of the first piece, which may take long to come.
  await call.send(new Uint8Array());
  await pump(stream, (chunk) => call.send(chunk), signal);
  return call.send(undefined);
}

/** Never settles unless the page's own body failed. A broken stream is what reading the answer tells better. */
function failureOf(upload) {
  return new Promise((_, reject) => {
    upload.catch((error) => {
      if (error?.code !== "stream_lost") reject(error);
    });
  });
}

function responseOf([status, statusText, list], method, call, over, reason) {
  const headers = headersOf(list);
  const source = {
    async read() {
      try {
        return await call.read();
      } catch (error) {
        over();
        throw reason(error);
      }
    },
  };
  const cancelled = () => {
    over();
    call.abort();
  };
  const empty = method === "HEAD" || BODILESS.has(status);
  if (empty) {
    over();
    // Its end is all that is left.
    call.read().catch(() => {});
  }
  const body = empty ? null : readableOf(source, { closed: over, cancelled });
  if (status < 200 || status > 599) throw new TunnelError("bad_http", `a page takes no status ${status}`);
  return withAllHeaders(new Response(body, { status, statusText, headers }), headers);
}

/** What a browser would write of a path: nothing that could end the request line. */
function encodePath(path) {
  const url = new URL(`http://localhost${path}`);
  return `${url.pathname}${url.search}`;
}
