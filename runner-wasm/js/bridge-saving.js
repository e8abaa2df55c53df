// Links that save a file (`<a download>`): Chromium asks for these without the service worker, so a page has them lead to a frame of its
// own that nobody sees, marked by the fragment, and the worker has the browser save what comes.

const MARK = "#hvym-tunnel-save-";

/** Put into each page, which gets the source of this function: it uses nothing from outside of itself. */
export function savingPage(own, mark) {
  const frameName = "hvym-tunnel-saving";
  let frame;

  const isSaved = (link) =>
    link instanceof HTMLAnchorElement &&
    link.hasAttribute("download") &&
    link.protocol === location.protocol &&
    link.host === location.host &&
    !link.pathname.startsWith(own);

  /** Has `link` lead there; gives what undoes it. */
  const lead = (link) => {
    const names = ["href", "target", "download"];
    const before = names.map((name) => link.getAttribute(name));
    link.hash = mark + encodeURIComponent(link.download);
    if (!frame?.isConnected) {
      frame = document.createElement("iframe");
      frame.name = frameName;
      frame.style.display = "none";
      document.documentElement.append(frame);
    }
    link.target = frameName;
    link.removeAttribute("download");
    return () => {
      for (const [at, name] of names.entries()) {
        if (before[at] === null) link.removeAttribute(name);
        else link.setAttribute(name, before[at]);
      }
    };
  };

  const onClick = (event) => {
    const link = event.composedPath().find(isSaved);
    // After the page's own listeners of the link; others may still have it lead nowhere.
    const onLink = () => isSaved(link) && setTimeout(lead(link));
    link?.addEventListener("click", onLink, { once: true });
  };
  addEventListener("click", onClick, true);

  // The window hears nothing of a link that is in no document.
  const { click } = HTMLElement.prototype;
  HTMLAnchorElement.prototype.click = function () {
    if (this.isConnected || !isSaved(this)) return click.call(this);
    const undo = lead(this);
    click.call(this);
    undo();
  };
}

/** The script of `savingPage`, for pages in which the folder `own` is the bridge's. */
export const savingScript = (own) => `(${savingPage})(${JSON.stringify(own)}, ${JSON.stringify(MARK)})`;

/** The name under which the response for this URL is saved, which may be empty; `undefined` if it is shown. */
export function savedName({ hash }) {
  if (!hash.startsWith(MARK)) return undefined;
  try {
    return decodeURIComponent(hash.slice(MARK.length));
  } catch {
    return "";
  }
}

/** Has a browser save what comes with `headers`; a name that the service gives counts more (HTML, "handle as a download"). */
export function saveAs(headers, name) {
  const given = headers.get("content-disposition") ?? "";
  if (/^\s*attachment\s*;.*\bfilename/i.test(given)) return;
  // What of them is no attr-char (RFC 8187 section 3.2.1).
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  headers.set("content-disposition", name === "" ? "attachment" : `attachment; filename*=UTF-8''${encoded}`);
}
