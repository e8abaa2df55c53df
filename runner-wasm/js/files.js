// A file as a service: ranges, conditions and lengths (RFC 9110 sections 13 and 14).

/** The handler of `serveFile`. `name` has browsers save the file under it. */
export function fileHandler(file, { type = file.type, name } = {}) {
  // The content of a `Blob` does not change.
  const etag = `"${file.size.toString(36)}-${Math.random().toString(36).slice(2)}"`;
  const modified = file.lastModified && new Date(file.lastModified).toUTCString();
  return (request) => {
    const headers = new Headers({ "accept-ranges": "bytes", etag });
    if (modified) headers.set("last-modified", modified);
    if (name !== undefined) {
      headers.set("content-disposition", `attachment; filename*=UTF-8''${encodeURIComponent(name)}`);
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      headers.set("allow", "GET, HEAD");
      return { status: 405, headers };
    }
    if (isUnchanged(request.headers, etag, modified)) return { status: 304, headers };
    headers.set("content-type", type || "application/octet-stream");
    const condition = request.headers.get("if-range");
    const field = condition === null || condition === etag ? request.headers.get("range") : null;
    const range = rangeOf(field, file.size);
    if (range === null) return { headers, body: file };
    if (range === undefined) {
      headers.set("content-range", `bytes */${file.size}`);
      return { status: 416, headers };
    }
    const [from, to] = range;
    headers.set("content-range", `bytes ${from}-${to}/${file.size}`);
    return { status: 206, headers, body: file.slice(from, to + 1, type) };
  };
}

function isUnchanged(headers, etag, modified) {
  const tags = headers.get("if-none-match");
  if (tags !== null) {
    return tags.split(",").some((tag) => ["*", etag, `W/${etag}`].includes(tag.trim()));
  }
  const since = headers.get("if-modified-since");
  return Boolean(modified) && since !== null && Date.parse(modified) <= Date.parse(since);
}

/** The first and last byte that are asked for; `null` for all, which several ranges get too; `undefined` if there are none. */
function rangeOf(field, size) {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(field ?? "") ?? [];
  if (first === undefined || (first === "" && last === "")) return null;
  if (first === "") return Number(last) > 0 && size > 0 ? [Math.max(size - Number(last), 0), size - 1] : undefined;
  if (last !== "" && Number(last) < Number(first)) return null;
  if (Number(first) >= size) return undefined;
  return [Number(first), last === "" ? size - 1 : Math.min(Number(last), size - 1)];
}
