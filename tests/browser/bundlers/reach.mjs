// A program that reaches what another one serves, in each way, and serves itself; what it saw is JSON on its output.

import { Identity, Tunnel, TunnelError, serve } from "hvym-tunnel";

const [relay, owner] = process.argv.slice(2);
const secret = process.env.HVYM_TUNNEL_SECRET;
const tunnel = await Tunnel.connect({ relay, identity: Identity.fromSecret(secret) });
const seen = {};

await tunnel.serve("own", async (request) => new Response(`you said ${await request.text()}`));
const own = await tunnel.fetch(`${tunnel.address}/own`, { method: "POST", body: "hello" });
seen.own = await own.text();

seen.fetched = await (await tunnel.fetch(`${owner}/app`, "/path?q=1")).text();

seen.socket = await new Promise((resolve, reject) => {
  const socket = tunnel.webSocket(`${owner}/app/socket`);
  socket.onopen = () => socket.send("over a socket");
  socket.onmessage = ({ data }) => (socket.close(1000), resolve(data));
  socket.onerror = () => reject(new Error("the socket failed"));
});

const { readable, writable } = await tunnel.connectStream(`${owner}/tcp-1`);
const writer = writable.getWriter();
await writer.write("over a stream");
await writer.close();
seen.stream = await new Response(readable).text();

const socket = tunnel.createConnection(`${owner}/tcp-1`);
socket.on("connect", () => socket.end("over a socket of Node.js"));
seen.duplex = "";
for await (const chunk of socket.setEncoding("utf8")) seen.duplex += chunk;
const lost = tunnel.createConnection(`${owner}/nothing`);
seen.lost = await new Promise((resolve) => lost.on("error", ({ code }) => resolve(code)));

const served = await serve((request) => new Response(`asked for ${new URL(request.url).pathname}`), { relay });
seen.served = await (await tunnel.fetch(`${served.tunnel.address}/app`, "/by/serve")).text();
await served.close();

seen.refused = await tunnel.fetch(`${owner}/nothing`).catch((error) => [error instanceof TunnelError, error.code]);
seen.kept = await Identity.persistent().then(() => "kept", ({ code }) => code);
console.log(JSON.stringify(seen));
await tunnel.close();
