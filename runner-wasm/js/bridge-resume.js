// Downloads that break off: the rest is asked for by range (RFC 9110 section 14), where a validator says that it is of the same
// representation. Knows nothing of tunnels.

/** Requests in a row for the rest. Each waits for the tunnel by itself. */
const ATTEMPTS = 5;
/** Bytes after which they are counted anew. */
const PROGRESS = 1024 * 1024;
/** How long before its response something was changed last, for its date to be a strong validator (section 8.8.2.2), milliseconds. */
const SETTLED = 1000;

/**
 * The body of `response` to a GET. When it breaks, it goes on with that of the response that `ask(fields)` resolves to, or breaks if that
 * is not the rest of the same.
 */
export function resumable(response, ask, signal) {
  const part = partOf(response);
  if (part === undefined) return response.body;
  const { validator, end, size } = part;
  let { at } = part;
  let reader = response.body.getReader();
  let attempts = 0;
  let counted = at;
  let isCancelled = false;

  const read = async () => {
    const { done, value } = await reader.read();
    // A server may send less than it was asked for (section 15.3.7).
    if (done && at < end) throw new TypeError("the response is not whole");
    at += value?.byteLength ?? 0;
    return value;
  };
  const isRest = (response) => {
    const rest = partOf(response);
    if (rest?.validator !== validator || rest.at !== at || rest.end > end) return false;
    return size === undefined || rest.size === undefined || rest.size === size;
  };
  const resume = async (error) => {
    if (at - counted >= PROGRESS) attempts = 0;
    counted = at;
    for (; attempts < ATTEMPTS && !isCancelled && !signal?.aborted; attempts += 1) {
      const range = `bytes=${at}-${end === undefined ? "" : end - 1}`;
      const response = await ask({ range, "if-range": validator, "accept-encoding": "identity" }).catch(() => undefined);
      if (response === undefined) continue;
      if (isCancelled || !isRest(response)) {
        response.body?.cancel().catch(() => {});
        break;
      }
      attempts += 1;
      reader = response.body.getReader();
      return;
    }
    throw error;
  };
  const pull = async (controller) => {
    for (;;) {
      try {
        const value = await read();
        return value === undefined ? controller.close() : controller.enqueue(value);
      } catch (error) {
        if (at === end) return controller.close();
        await resume(error);
      }
    }
  };
  const cancel = (reason) => {
    isCancelled = true;
    // It may be broken already.
    return reader.cancel(reason).catch(() => {});
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

/**
 * Which bytes `response` has, from `at` to `end` of `size`, and by which validator more of them can be asked for; `undefined` if they
 * cannot be. `end` and `size` are `undefined` where nobody says them.
 */
function partOf({ status, headers, body }) {
  const validator = validatorOf(headers);
  // What is encoded for each response need not have the same bytes again.
  if (body === null || validator === undefined || headers.has("content-encoding")) return undefined;
  if (status === 206) {
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(headers.get("content-range") ?? "") ?? [];
    if (first === undefined) return undefined;
    return { validator, at: Number(first), end: Number(last) + 1, size: size === "*" ? undefined : Number(size) };
  }
  if (status !== 200 || !/\bbytes\b/i.test(headers.get("accept-ranges") ?? "")) return undefined;
  const length = headers.get("content-length");
  const size = length === null ? undefined : Number(length);
  return { validator, at: 0, end: size, size };
}

/** What `If-Range` takes (section 13.1.5): a strong entity tag, or the date of what has none. */
function validatorOf(headers) {
  const tag = headers.get("etag");
  if (tag !== null) return tag.startsWith('"') ? tag : undefined;
  const modified = headers.get("last-modified");
  const age = Date.parse(headers.get("date")) - Date.parse(modified);
  return age >= SETTLED ? modified : undefined;
}
