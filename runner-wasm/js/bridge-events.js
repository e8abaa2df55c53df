// Server-sent events through a bridge. Chromium shows a service worker no `Last-Event-ID`, so it is kept here, by what a page has
// put into the fragment of the URL of its `EventSource`.

/** The sources of which the last id is known; those that were not used for longest go. */
const MAX_SOURCES = 256;
/** Bytes of an id, more than which is none. */
const MAX_ID = 4096;
const MARK = /^#hvym-tunnel-events-([\w-]+)$/;

const ids = new Map();

/** The field to add for a request to `url`, and what has to see the stream of its response; nothing for other requests. */
export function eventsOf({ hash }) {
  const [, source] = MARK.exec(hash) ?? [];
  if (source === undefined) return undefined;
  const remember = (id) => {
    ids.delete(source);
    ids.set(source, id);
    if (ids.size > MAX_SOURCES) ids.delete(ids.keys().next().value);
  };
  return { lastId: ids.get(source), watch: (body) => body.pipeThrough(watcher(remember)) };
}

/** Passes a stream on, and tells the id of each event that is whole (HTML, "interpreting an event stream"). */
function watcher(remember) {
  const decoder = new TextDecoder();
  let rest = "";
  let id;
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        const [, value] = /^id(?:: ?(.*))?$/.exec(line) ?? [];
        if (/^id(?::|$)/.test(line) && !value?.includes("\0") && !(value?.length > MAX_ID)) id = value ?? "";
        if (line === "" && id !== undefined) remember(id);
      }
      // Of a long line the beginning says what it is.
      if (rest.length > MAX_ID + 4) rest = `:${rest.at(-1) === "\r" ? "\r" : ""}`;
      controller.enqueue(chunk);
    },
  });
}
