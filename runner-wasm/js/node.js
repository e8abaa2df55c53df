// The package outside browsers: Node.js, Deno and Bun, where local services are reached, and streams are sockets.

import "./node-module.js";

import { TunnelDuplex } from "./duplex.js";
import { forwardHandler, pipeHandler, placeOf } from "./forward.js";
import { Identity } from "./identity.js";
import { NodeSocket } from "./node-socket.js";
import { Tunnel as PageTunnel } from "./page.js";
import { asyncDispose } from "./tunnel.js";

export * from "./index.js";

export class Tunnel extends PageTunnel {
  constructor(options) {
    super({ ...options, WebSocket: options.WebSocket ?? globalThis.WebSocket ?? NodeSocket });
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
  // A mistake is said before somebody else is asked.
  if (typeof target !== "function") placeOf(target);
  const tunnel = await Tunnel.connect({ identity: Identity.generate(), ...options });
  try {
    const offered = { public: isPublic, allow, onConflict };
    const url = await (typeof target === "function" ? tunnel.serve(service, target, offered) : tunnel.forward(service, target, offered));
    const close = () => tunnel.close();
    return { url, tunnel, close, [asyncDispose]: close };
  } catch (error) {
    await tunnel.close();
    throw error;
  }
}
