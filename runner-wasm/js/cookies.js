// Cookies of one host, as a browser keeps them (RFC 6265bis). A jar is for one origin, so all of them belong to its host.

/** Cookies of one host, as in browsers; those that were not used for longest go. */
const MAX_COOKIES = 180;
/** Bytes of a name and its value (RFC 6265bis section 5.6). */
const MAX_BYTES = 4096;

/** How a request came about, and which cookies it takes: by their `SameSite`. */
const TAKEN = {
  /** By a page of the same origin. */
  same: ["strict", "lax", "none"],
  /** By a link on another site. */
  link: ["lax", "none"],
  /** By a form or a frame of another site. */
  cross: ["none"],
};

export class CookieJar {
  #cookies;
  #host;

  /** The cookies of {@link entries}, for the host name `host`. */
  constructor(host, cookies = []) {
    this.#host = host;
    this.#cookies = cookies;
  }

  /** What to keep. */
  get entries() {
    return this.#cookies;
  }

  /** Takes a `Set-Cookie` field, or what a script gave to `document.cookie`. Returns whether anything changed. */
  set(line, { path, isScript = false, now = Date.now() }) {
    const [pair, ...attributes] = line.split(";").map((part) => part.trim());
    const at = pair.indexOf("=");
    const [name, value] = at < 0 ? ["", pair] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    if ((name === "" && value === "") || name.length + value.length > MAX_BYTES || /[\0-\x08\x0a-\x1f\x7f]/.test(line)) {
      return false;
    }
    const cookie = { name, value, path: defaultPath(path), sameSite: "lax", isHttpOnly: false, until: undefined, used: now };
    let hasDomain = false;
    let isSecure = false;
    let maxAge;
    for (const attribute of attributes) {
      const [key, ...rest] = attribute.split("=");
      const text = rest.join("=").trim();
      switch (key.trim().toLowerCase()) {
        case "path":
          if (text.startsWith("/")) cookie.path = text;
          break;
        case "domain":
          if (text === "") break;
          if (!this.#isWithin(text.replace(/^\./, "").toLowerCase())) return false;
          hasDomain = true;
          break;
        case "max-age":
          if (/^-?\d+$/.test(text)) maxAge = Number(text);
          break;
        case "expires":
          if (!Number.isNaN(Date.parse(text))) cookie.until = Date.parse(text);
          break;
        case "httponly":
          cookie.isHttpOnly = true;
          break;
        case "secure":
          isSecure = true;
          break;
        case "samesite":
          if (["strict", "lax", "none"].includes(text.toLowerCase())) cookie.sameSite = text.toLowerCase();
          break;
      }
    }
    if (maxAge !== undefined) cookie.until = now + maxAge * 1000;
    const prefix = name.toLowerCase();
    if (prefix.startsWith("__secure-") && !isSecure) return false;
    if (prefix.startsWith("__host-") && (!isSecure || hasDomain || cookie.path !== "/")) return false;
    if (cookie.sameSite === "none" && !isSecure) return false;
    return this.#put(cookie, isScript, now);
  }

  /** The value of `Cookie` for a request; empty if there is none. `came` is a key of {@link TAKEN}. */
  header(path, came, now = Date.now()) {
    const taken = this.#valid(path, now).filter(({ sameSite }) => TAKEN[came].includes(sameSite));
    for (const cookie of taken) cookie.used = now;
    return written(taken);
  }

  /** What `document.cookie` is on a page. */
  visible(path, now = Date.now()) {
    return written(this.#valid(path, now).filter(({ isHttpOnly }) => !isHttpOnly));
  }

  #put(cookie, isScript, now) {
    const isSame = ({ name, path }) => name === cookie.name && path === cookie.path;
    const older = this.#cookies.find(isSame);
    if (isScript && (cookie.isHttpOnly || older?.isHttpOnly)) return false;
    this.#cookies = this.#cookies.filter((other) => !isOver(other, now));
    const at = this.#cookies.indexOf(older);
    if (isOver(cookie, now)) {
      if (at >= 0) this.#cookies.splice(at, 1);
      return older !== undefined;
    }
    // One that is replaced keeps its place (RFC 6265 section 5.3).
    if (at >= 0) this.#cookies[at] = cookie;
    else this.#add(cookie);
    return true;
  }

  #add(cookie) {
    if (this.#cookies.length >= MAX_COOKIES) {
      const oldest = Math.min(...this.#cookies.map(({ used }) => used));
      this.#cookies.splice(this.#cookies.findIndex(({ used }) => used === oldest), 1);
    }
    this.#cookies.push(cookie);
  }

  /** The cookies for a path, longer paths first (RFC 6265 section 5.4). */
  #valid(path, now) {
    const valid = this.#cookies.filter((cookie) => !isOver(cookie, now) && isBelow(path, cookie.path));
    return valid.toSorted((one, other) => other.path.length - one.path.length);
  }

  /** Whether this host is `domain` or below it; a domain of one label is nobody's. */
  #isWithin(domain) {
    return this.#host === domain || (this.#host.endsWith(`.${domain}`) && domain.includes("."));
  }
}

const isOver = (cookie, now) => cookie.until !== undefined && cookie.until <= now;

const written = (cookies) => cookies.map(({ name, value }) => (name === "" ? value : `${name}=${value}`)).join("; ");

/** RFC 6265 section 5.1.4. */
function defaultPath(path) {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** RFC 6265 section 5.1.4. */
function isBelow(path, prefix) {
  return path === prefix || (path.startsWith(prefix) && (prefix.endsWith("/") || path[prefix.length] === "/"));
}
