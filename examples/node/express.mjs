// An application of Express with a public address: node express.mjs wss://tunnel.example

import express from "express";
import { serve } from "hvym-tunnel";

const app = express();
app.get("/", (request, response) => response.send(`hello from Express, ${request.get("x-forwarded-for") ?? "whoever you are"}\n`));

// Any free port of this machine: visitors come by the tunnel.
const server = app.listen(0, "127.0.0.1", async () => {
  const { url, close } = await serve(server, { relay: process.argv[2] });
  console.log(url);
  process.once("SIGINT", () => close().then(() => server.close()));
});
