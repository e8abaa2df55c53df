// The package outside browsers: Node.js, Deno and Bun, where local services are reached, and streams are sockets.

import "./node-module.js";

import { TunnelDuplex } from "./duplex.js";
import { forwardHandler, pipeHandler, placeOf } from "./forward.js";
import { Identity } from "./identity.js";
import { serveNative } from "./native.js";
import { NodeSocket } from "./node-socket.js";
import { Tunnel as PageTunnel } from "./page.js";
import { asyncDispose } from "./tunnel.js";

export * from "./index.js";

/** The state of a socket whose handshake is under way. */
const CONNECTING = 0;

export class Tunnel extends PageTunnel {
  constructor(options) {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket ?? NodeSocket;
    let last;
    // A function, so that it may give an object of another class.
    function Socket(url) {
      return (last = new WebSocket(url));
    }
    super({ ...options, WebSocket: Socket });
    // A dial that nobody waits for any more would keep the process until it is answered.
    this.addEventListener("down", ({ detail }) => {
      if (detail.retryIn === undefined && last?.readyState === CONNECTING) last.close();
    });
  }

  async forward(service, target, options) {
    const place = placeOf(target);
    if (place.isHttp) return this.serve(service, forwardHandler(place), options);
    return this.serveStream(service, pipeHandler(place), options);
  }

  createConnection(target) {
    return new TunnelDuplex((signal) => this.connectStream(target, { signal }));
  }
}

export async function serve(target, { service = "app", public: isPublic, allow, onConflict, ...options } = {}) {
  const offered = { public: isPublic, allow, onConflict };
  // A mistake is said before somebody else is asked.
  const place = typeof target === "function" ? undefined : placeOf(target);
  options.identity = await (options.identity ?? Identity.generate());
  const native = place && (await serveNative(service, place, offered, options, (more) => Tunnel.connect(more)));
  if (native !== undefined) return native;
  const tunnel = await Tunnel.connect(options);
  try {
    const url = await (typeof target === "function" ? tunnel.serve(service, target, offered) : tunnel.forward(service, target, offered));
    const close = () => tunnel.close();
    return { url, tunnel, close, [asyncDispose]: close };
  } catch (error) {
    await tunnel.close();
    throw error;
  }
}
