// `fetch` for the services of other identities.

import { TunnelError } from "./error.js";
import { flatten, headersFrom, lengthOf, openBody, pump, readableFrom, withAllHeaders } from "./http.js";

/** Statuses with which a `Response` may have no body (Fetch, "null body status"). */
const NULL_BODY_STATUS = new Set([204, 205, 304]);

/** Splits `G.../service`. */
export function parseTarget(target) {
  const [address, service, ...rest] = String(target).split("/");
  if (!address || !service || rest.length > 0) {
    throw new TunnelError("bad_target", "a service of an identity is written G.../service");
  }
  return { address, service };
}

/** Sends a request; resolves to the `Response` once its head has arrived. `hostOf(address, service)` is the default `Host`. */
export async function fetchFrom(runner, target, path, init, hostOf) {
  const { address, service } = parseTarget(target);
  const { signal, body } = init;
  signal?.throwIfAborted();
  const method = String(init.method ?? "GET");
  const headers = new Headers(init.headers);
  if ((method === "GET" || method === "HEAD") && body !== undefined && body !== null) {
    throw new TypeError(`a ${method} request has no body`);
  }
  const { stream, type } = openBody(body);
  if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
  if (!headers.has("host")) headers.set("host", hostOf(address, service));
  // The browser does not decode content codings of these responses, and pages cannot decode all of them.
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  const requestPath = String(path ?? "/");
  if (!requestPath.startsWith("/")) throw new TypeError("the path has to start with a slash");
  const request = runner.request(
    address,
    service,
    method,
    encodePath(requestPath),
    flatten(headers),
    lengthOf(body),
  );

  const abort = () => request.abort();
  signal?.addEventListener("abort", abort, { once: true });
  const detach = () => signal?.removeEventListener("abort", abort);
  /** Replaces the errors that an abort causes by the signal's reason. */
  const reasonFor = (error) => (signal?.aborted ? signal.reason : error);

  const upload = send(request, stream, signal);
  // `uploadFailure` decides whether it matters: a service may respond without reading the whole body.
  upload.catch(() => {});
  try {
    const head = await Promise.race([request.head(), uploadFailure(upload)]);
    return responseFrom(head, method, request, detach, reasonFor);
  } catch (error) {
    detach();
    request.abort();
    stream?.cancel().catch(() => {});
    throw reasonFor(error);
  }
}

async function send(request, stream, signal) {
  if (stream === null) return request.send(undefined);
  // Sends the head without waiting for the first chunk.
  await request.send(new Uint8Array());
  await pump(stream, (chunk) => request.send(chunk), signal);
  return request.send(undefined);
}

/** Rejects if the page's body stream failed. Never settles otherwise: a lost stream is reported by reading the response. */
function uploadFailure(upload) {
  return new Promise((_, reject) => {
    upload.catch((error) => {
      if (error?.code !== "stream_lost") reject(error);
    });
  });
}

function responseFrom([status, statusText, list], method, request, detach, reasonFor) {
  const headers = headersFrom(list);
  const source = {
    async read() {
      try {
        return await request.read();
      } catch (error) {
        detach();
        throw reasonFor(error);
      }
    },
  };
  const onCancel = () => {
    detach();
    request.abort();
  };
  const isEmpty = method === "HEAD" || NULL_BODY_STATUS.has(status);
  if (isEmpty) {
    detach();
    // Reads the end of the response, which closes the stream.
    request.read().catch(() => {});
  }
  const body = isEmpty ? null : readableFrom(source, { onClose: detach, onCancel });
  if (status < 200 || status > 599) throw new TunnelError("bad_http", `a page takes no status ${status}`);
  return withAllHeaders(new Response(body, { status, statusText, headers }), headers);
}

/** Percent-encodes a path as browsers do, so that it contains no space or line break. */
function encodePath(path) {
  const url = new URL(`http://localhost${path}`);
  return `${url.pathname}${url.search}`;
}
