// A program for Node.js, so that the compiler checks the types of that entry.

import { Identity, Tunnel, serve } from "hvym-tunnel";
import type { TunnelOptions } from "hvym-tunnel";
import { TunnelClient } from "hvym-tunnel/tunely";

class Socket {
  constructor(readonly url: string | URL) {}
}

export async function main(target: string): Promise<string> {
  const options: TunnelOptions = { relay: "wss://tunnel.example", identity: Identity.generate(), WebSocket: Socket };
  const tunnel: Tunnel = await Tunnel.connect(options);
  await tunnel.forward("db", new URL("tcp://localhost:5432"), { allow: [] });
  return tunnel.forward("app", target, { onConflict: "pool" });
}

export async function more(relay: string): Promise<boolean> {
  const { url, tunnel, close } = await serve(3000, { relay, service: "web", allow: [] });
  const served = await serve((request, { service }) => new Response(service + request.url), { relay, identity: Identity.generate() });
  const socket = tunnel.createConnection("G.../db");
  socket.end("x");
  const client = new TunnelClient({ serverUrl: url, token: "tun_x", targetUrl: "http://localhost:8080", force: true });
  client.on("onConnect", (domain) => domain.length);
  client.on("onRequest", ({ method, headers }) => `${method} ${headers?.["accept"]}`);
  client.on("onError", (error) => error.message);
  await client.run().then(close, served.close);
  return client.isConnected && client.tunnelDomain === null;
}

// @ts-expect-error a token is needed
void (() => new TunnelClient({ serverUrl: "ws://localhost:8000/ws/tunnel", targetUrl: "http://localhost:8080" }));
// @ts-expect-error a target is needed
void ((tunnel: Tunnel) => tunnel.forward("app"));
