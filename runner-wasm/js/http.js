// Headers and bodies, for requests (fetch.js) and responses (serve.js) alike.

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
 * Gives a `Request` or `Response` properties that its constructor does not: all of the headers, of which browsers remove
 * `Host`, `Cookie` and `Set-Cookie`, since those rules are for the browser's own network.
 */
export function withProperties(message, properties) {
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(message, name, { value, enumerable: true });
  }
  return message;
}

/** Ends what streams read that the page has dropped. A help: nothing else depends on when, or whether, it is called. */
const dropped = new FinalizationRegistry((end) => end());

/**
 * A stream of the chunks that `read()` resolves to, until `undefined`; reads `ahead` bytes that nobody has asked for.
 * `onDropped` is called if the browser says that nobody can read it any more.
 */
export function readableFrom(read, { onCancel = () => {}, onDropped, ahead = 0 } = {}) {
  const source = {
    async pull(controller) {
      const chunk = await read();
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
    cancel: onCancel,
  };
  // Not the stream, whose object browsers drop while they read it themselves.
  if (onDropped !== undefined) dropped.register(source, onDropped);
  // A page that stops reading stops the sender.
  return new ReadableStream(source, { highWaterMark: ahead, size: (chunk) => chunk.byteLength });
}

/** Passes every chunk of `body` to `write`; `signal` cancels it. */
export async function pump(body, write, signal) {
  const reader = body.getReader();
  const cancel = () => reader.cancel(signal.reason).catch(() => {});
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      await write(bytesOf(value));
    }
  } catch (error) {
    // Stops the producer of the rest.
    reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** The bytes of a `BufferSource`, without a copy. */
export function bytesOf(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const isShared = globalThis.SharedArrayBuffer !== undefined && chunk instanceof SharedArrayBuffer;
  if (isShared || chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError("a stream takes ArrayBuffers and views of them");
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
