// What a bridge puts into each page: WebSockets and cookies that go through the service worker. The page gets the source of
// this function, so it uses nothing from outside of itself.

export function bridgePage(initial) {
  const worker = navigator.serviceWorker;
  const post = (message, ports) => {
    if (worker.controller) worker.controller.postMessage(message, ports);
    else worker.ready.then(({ active }) => active.postMessage(message, ports));
  };

  // The browser ends a worker that has nothing to do. Timers of a page in the background stop, answers do not.
  const stayAwake = async () => {
    for (;;) {
      const answer = await fetch(`${initial.own}awake`, { cache: "no-store" }).catch(() => undefined);
      if (answer?.status !== 204) await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  };
  stayAwake();

  // A share link to what is open already: the page that asks for keys takes it.
  const takeLink = () => {
    if (location.hash.startsWith("#share=")) location.replace(initial.own + location.hash);
  };
  takeLink();
  addEventListener("hashchange", takeLink);

  // The browser may have kept this page while its person left, and shows it to the next one.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    document.documentElement.hidden = true;
    location.reload();
  });

  let cookies = initial.cookies;
  const named = (pair) => (pair.includes("=") ? pair.slice(0, pair.indexOf("=")).trim() : "");
  Object.defineProperty(Document.prototype, "cookie", {
    configurable: true,
    enumerable: true,
    get: () => cookies,
    set(line) {
      const text = String(line);
      const [pair, ...attributes] = text.split(";").map((part) => part.trim());
      const isOver = attributes.some(
        (attribute) =>
          /^max-age=\s*(0|-\d+)$/i.test(attribute) ||
          (/^expires=/i.test(attribute) && Date.parse(attribute.slice(8)) <= Date.now()),
      );
      // The worker decides; this is for a script that reads at once what it wrote.
      const others = cookies.split("; ").filter((other) => other !== "" && named(other) !== named(pair));
      cookies = [...others, ...(isOver ? [] : [pair])].join("; ");
      post({ kind: "cookie", line: text, path: location.pathname });
    },
  });
  worker.addEventListener("message", ({ data }) => {
    if (data?.hvymTunnel === "cookies") cookies = data.cookies;
  });

  // The worker tells by the fragment which of them it is that begins anew.
  const NativeEvents = window.EventSource;
  window.EventSource = class EventSource extends NativeEvents {
    #url;

    constructor(url, options) {
      const own = new URL(url, document.baseURI);
      const shown = own.href;
      if (own.origin === location.origin) own.hash = `hvym-tunnel-events-${crypto.randomUUID()}`;
      super(own, options);
      this.#url = shown;
    }

    get url() {
      return this.#url;
    }
  };

  const Native = window.WebSocket;
  const MAX_REASON = 123;
  const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];

  class BridgedWebSocket extends EventTarget {
    #port;
    #url;
    #state = CONNECTING;
    #protocol = "";
    #binaryType = "blob";
    #buffered = 0;
    #listeners = {};

    constructor(url, protocols) {
      super();
      this.#url = url;
      const { port1, port2 } = new MessageChannel();
      this.#port = port1;
      port1.onmessage = ({ data }) => this.#handle(data);
      post({ kind: "websocket", path: url.pathname + url.search, protocols }, [port2]);
      addEventListener("pagehide", () => this.#port.postMessage({ kind: "abort" }), { once: true });
    }

    get url() {
      return this.#url.href;
    }

    get readyState() {
      return this.#state;
    }

    get protocol() {
      return this.#protocol;
    }

    get extensions() {
      return "";
    }

    get bufferedAmount() {
      return this.#buffered;
    }

    get binaryType() {
      return this.#binaryType;
    }

    set binaryType(type) {
      if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
    }

    send(data) {
      if (this.#state === CONNECTING) throw new DOMException("the WebSocket is not open yet", "InvalidStateError");
      if (data instanceof Blob) return this.#sendBlob(data);
      let payload = String(data);
      if (data instanceof ArrayBuffer) payload = data.slice();
      else if (ArrayBuffer.isView(data)) payload = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
      this.#post(payload, typeof payload === "string" ? new Blob([payload]).size : payload.byteLength);
    }

    async #sendBlob(blob) {
      this.#post(await blob.arrayBuffer(), blob.size);
    }

    #post(payload, size) {
      this.#buffered += size;
      if (this.#state === OPEN) this.#port.postMessage({ kind: "send", payload, size });
    }

    close(code, reason = "") {
      if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw new DOMException("the code is 1000, or from 3000 to 4999", "InvalidAccessError");
      }
      if (new TextEncoder().encode(reason).length > MAX_REASON) {
        throw new DOMException(`the reason has at most ${MAX_REASON} bytes`, "SyntaxError");
      }
      if (this.#state >= CLOSING) return;
      this.#port.postMessage(this.#state === CONNECTING ? { kind: "abort" } : { kind: "close", code, reason });
      this.#state = CLOSING;
    }

    #handle(message) {
      if (message.kind === "open") {
        if (this.#state !== CONNECTING) return;
        [this.#state, this.#protocol] = [OPEN, message.protocol];
        this.dispatchEvent(new Event("open"));
      } else if (message.kind === "sent") this.#buffered -= message.size;
      else if (message.kind === "message") {
        if (this.#state !== OPEN) return;
        const isBlob = typeof message.data !== "string" && this.#binaryType === "blob";
        const data = isBlob ? new Blob([message.data]) : message.data;
        const origin = this.#url.origin;
        this.dispatchEvent(new MessageEvent("message", { data, origin }));
      } else if (message.kind === "close") {
        this.#state = CLOSED;
        this.#port.close();
        const { code, reason, wasClean } = message;
        if (!wasClean) this.dispatchEvent(new Event("error"));
        this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
      }
    }

    /** For `onopen` and its like: one listener, in the order of its first assignment. */
    static handler(type) {
      Object.defineProperty(BridgedWebSocket.prototype, `on${type}`, {
        configurable: true,
        enumerable: true,
        get() {
          return this.#listeners[type] ?? null;
        },
        set(listener) {
          if (!(type in this.#listeners)) this.addEventListener(type, (event) => this.#listeners[type]?.call(this, event));
          this.#listeners[type] = typeof listener === "function" ? listener : null;
        },
      });
    }
  }

  for (const type of ["open", "message", "error", "close"]) BridgedWebSocket.handler(type);

  /** A WebSocket of this origin goes through the bridge, any other one to the network. */
  function WebSocket(url, protocols = []) {
    if (!new.target) throw new TypeError("Constructor WebSocket requires 'new'");
    let parsed;
    try {
      parsed = new URL(url, document.baseURI);
    } catch {
      throw new DOMException(`the URL ${url} is invalid`, "SyntaxError");
    }
    if (parsed.protocol === "http:") parsed.protocol = "ws:";
    if (parsed.protocol === "https:") parsed.protocol = "wss:";
    if (parsed.host !== location.host) return new Native(url, protocols);
    if (!/^wss?:$/.test(parsed.protocol) || parsed.hash !== "") {
      throw new DOMException(`the URL ${url} is none of a WebSocket`, "SyntaxError");
    }
    const list = (Array.isArray(protocols) ? protocols : [protocols]).map(String);
    if (new Set(list).size < list.length || list.some((protocol) => !/^[!#$%&'*+\-.^_`|~\w]+$/.test(protocol))) {
      throw new DOMException("a protocol is no token, or named twice", "SyntaxError");
    }
    // Also for classes that extend it.
    return Reflect.construct(BridgedWebSocket, [parsed, list], new.target);
  }

  // `socket instanceof WebSocket`, and the constants that programs compare with.
  WebSocket.prototype = BridgedWebSocket.prototype;
  BridgedWebSocket.prototype.constructor = WebSocket;
  for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
    for (const owner of [WebSocket, BridgedWebSocket.prototype]) Object.defineProperty(owner, name, { value, enumerable: true });
  }
  window.WebSocket = WebSocket;
}
