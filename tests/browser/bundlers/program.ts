// A program for Node.js, so that the compiler checks the types of that entry.

import { Identity, Tunnel } from "hvym-tunnel";
import type { TunnelOptions } from "hvym-tunnel";

class Socket {
  constructor(readonly url: string | URL) {}
}

export async function main(target: string): Promise<string> {
  const options: TunnelOptions = { relay: "wss://tunnel.example", identity: Identity.generate(), WebSocket: Socket };
  const tunnel: Tunnel = await Tunnel.connect(options);
  await tunnel.forward("db", new URL("tcp://localhost:5432"), { allow: [] });
  return tunnel.forward("app", target, { onConflict: "pool" });
}

// @ts-expect-error a target is needed
void ((tunnel: Tunnel) => tunnel.forward("app"));
