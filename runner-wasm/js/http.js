// Headers and bodies, for requests (fetch.js) and responses (serve.js) alike.

/** Bytes passed to the module per call: it copies them, and the chunks of a stream may be of any size. */
const MAX_CHUNK = 64 * 1024;

/** Header fields as the module takes them: name, value, name, value. */
export function flatten(headers) {
  const list = [];
  for (const [name, value] of headers) list.push(name, value);
  return list;
}

/** `Headers` of a flat list. */
export function headersFrom(list) {
  const headers = new Headers();
  for (let i = 0; i < list.length; i += 2) headers.append(list[i], list[i + 1]);
  return headers;
}

/**
 * Gives a `Request` or `Response` all of `headers`. Browsers remove forbidden ones such as `Host`, `Cookie` and
 * `Set-Cookie` when it is constructed; those rules are for the browser's own network.
 */
export function withAllHeaders(message, headers) {
  Object.defineProperty(message, "headers", { value: headers, enumerable: true });
  return message;
}

/** A stream of the chunks that `source.read()` resolves to, until `undefined`. */
export function readableFrom(source, { onClose = () => {}, onCancel = () => {} } = {}) {
  return new ReadableStream(
    {
      async pull(controller) {
        const chunk = await source.read();
        if (chunk !== undefined) return controller.enqueue(chunk);
        controller.close();
        onClose();
      },
      cancel: onCancel,
    },
    // No read-ahead, so that a page that stops reading stops the sender.
    { highWaterMark: 0 },
  );
}

/** Passes every chunk of `body` to `write`; `signal` cancels it. */
export async function pump(body, write, signal) {
  const reader = body.getReader();
  signal?.addEventListener("abort", () => reader.cancel(signal.reason).catch(() => {}), { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const bytes = value instanceof Uint8Array ? value : bytesOf(value);
      for (let at = 0; at < bytes.length; at += MAX_CHUNK) await write(bytes.subarray(at, at + MAX_CHUNK));
    }
  } catch (error) {
    // Stops the producer of the rest.
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

function bytesOf(chunk) {
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError("a stream of a body has to give Uint8Arrays");
}

/** The length of a body in bytes; `undefined` if it cannot be known without reading it. */
export function lengthOf(body) {
  if (body === undefined || body === null) return 0;
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof URLSearchParams) return String(body).length;
  if (body instanceof Blob) return body.size;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return undefined;
}

/** A body as a byte stream, and the media type that its kind implies. */
export function openBody(body) {
  const response = new Response(body);
  return { stream: response.body, type: response.headers.get("content-type") };
}
