// The example of Tunely's README for Node.js with the import changed, and what a test wants to see.

import { TunnelClient } from "hvym-tunnel/tunely";

const [serverUrl, token, targetUrl] = process.argv.slice(2);
const client = new TunnelClient({
  serverUrl,
  token,
  targetUrl,
  reconnectInterval: 100,
});

client.on("onConnect", (domain) => {
  console.log(`已连接: ${domain}`);
});

client.on("onDisconnect", () => {
  console.log("连接断开");
});

client.on("onRequest", ({ method, path }) => {
  console.log(`request ${method} ${path}`);
  throw new Error("a callback that throws ends nothing");
});
process.once("SIGINT", () => client.stop());

await client.run();
console.log(`stopped ${client.isConnected} ${client.tunnelDomain}`);
