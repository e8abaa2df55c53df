// What requests and responses of both directions share.

/** What is given to the module at once: it copies what it gets, and a chunk may be as large as its stream likes. */
const PIECE = 64 * 1024;

/** Fields as the module takes them: name, value, name, value. */
export function flat(headers) {
  const list = [];
  for (const [name, value] of headers) list.push(name, value);
  return list;
}

/** Fields as pages take them, none left out. */
export function headersOf(list) {
  const headers = new Headers();
  for (let i = 0; i < list.length; i += 2) headers.append(list[i], list[i + 1]);
  return headers;
}

/**
 * Shows all fields of a request or response. A browser strips those that pages may not set on its own network, such as
 * `Host`, `Cookie` and `Set-Cookie`, and here it is not its network.
 */
export function withAllHeaders(message, headers) {
  Object.defineProperty(message, "headers", { value: headers, enumerable: true });
  return message;
}

/** A stream of what `source.read()` gives, until it gives nothing. */
export function readableOf(source, { closed = () => {}, cancelled = () => {} } = {}) {
  return new ReadableStream(
    {
      async pull(controller) {
        const chunk = await source.read();
        if (chunk !== undefined) return controller.enqueue(chunk);
        controller.close();
        closed();
      },
      cancel: cancelled,
    },
    // Nothing is read ahead: what a page does not read stays with its sender.
    { highWaterMark: 0 },
  );
}

/** Gives every chunk of a body to `write`, until `signal` says that nobody wants it any more. */
export async function pump(body, write, signal) {
  const reader = body.getReader();
  signal?.addEventListener("abort", () => reader.cancel(signal.reason).catch(() => {}), { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const bytes = value instanceof Uint8Array ? value : bytesOf(value);
      for (let at = 0; at < bytes.length; at += PIECE) await write(bytes.subarray(at, at + PIECE));
    }
  } catch (error) {
    // Whoever produces the rest need not.
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

function bytesOf(chunk) {
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError("a stream of a body has to give Uint8Arrays");
}

/** The bytes of a body, where that can be told without reading it. */
export function lengthOf(body) {
  if (body === undefined || body === null) return 0;
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof URLSearchParams) return String(body).length;
  if (body instanceof Blob) return body.size;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return undefined;
}

/** A body as a stream of bytes, and its type if it has one of its own. */
export function openBody(body) {
  const response = new Response(body);
  return { stream: response.body, type: response.headers.get("content-type") };
}
