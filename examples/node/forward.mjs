// Gives local servers a public address: node forward.mjs wss://tunnel.example http://localhost:3000 [tcp://localhost:5432]
//
// `cargo xtask wasm` makes the package. HVYM_TUNNEL_SECRET is a Stellar secret, S...; without it the address is a new one.

import { Identity, Tunnel } from "hvym-tunnel";

const [relay, ...targets] = process.argv.slice(2);
const secret = process.env.HVYM_TUNNEL_SECRET;
const identity = secret ? Identity.fromSecret(secret) : Identity.generate();

const tunnel = await Tunnel.connect({ relay, identity });
tunnel.addEventListener("error", ({ detail }) => console.error(`${detail}`, detail.hint ?? ""));
for (const [index, target] of targets.entries()) {
  const name = new URL(target).protocol === "tcp:" ? `tcp-${index}` : index === 0 ? "app" : `app-${index}`;
  console.log(await tunnel.forward(name, target));
}
process.once("SIGINT", () => tunnel.close());
await tunnel.closed;
process.exit();
