#!/usr/bin/env node
// The program of the package: gives a local service a public address, `npx hvym-tunnel 3000`; `connect` takes what Tunely's does.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { Identity, serve } from "./node.js";
import { TunnelClient } from "./tunely.js";

const USAGE = `Usage: hvym-tunnel PORT|URL [--relay URL] [--service NAME] [--identity FILE]
       hvym-tunnel connect -t TOKEN [-s URL] [-T URL] [-r SECONDS] [-f]

Gives a service of this machine a public address: 3000, http://localhost:3000, https://.. or tcp://localhost:5432.

  --relay URL        the relay, or HVYM_TUNNEL_RELAY: wss://tunnel.example
  --service NAME     the name of the service [app]
  --identity FILE    a file with the secret S.. whose address the service gets, or HVYM_TUNNEL_SECRET; else a new one each time

connect, at a server of Tunely:

  -t, --token TOKEN        the token of the tunnel
  -s, --server URL         the server [ws://localhost:8000/ws/tunnel]
  -T, --target URL         the local service [http://localhost:8080]
  -r, --reconnect SECONDS  how long to wait before another attempt [5]
  -f, --force              take the place of a client that is connected with the token
`;
const OPTIONS = {
  relay: { type: "string" },
  service: { type: "string" },
  identity: { type: "string" },
  help: { type: "boolean", short: "h" },
};
const CONNECT_OPTIONS = {
  token: { type: "string", short: "t" },
  server: { type: "string", short: "s", default: "ws://localhost:8000/ws/tunnel" },
  target: { type: "string", short: "T", default: "http://localhost:8080" },
  reconnect: { type: "string", short: "r", default: "5" },
  force: { type: "boolean", short: "f", default: false },
  help: { type: "boolean", short: "h" },
};
/** As the native program ends: for a mistake in the arguments, and for anything else. */
const [USAGE_EXIT, FAILED_EXIT] = [2, 1];

/** A mistake in the arguments. */
class UsageError extends Error {}

function parse(args, options) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error.message);
  }
}

async function expose(args) {
  const { values, positionals } = parse(args, OPTIONS);
  if (values.help) return console.log(USAGE);
  if (positionals.length !== 1) throw new UsageError("one service is named: a port, or a URL");
  const relay = values.relay ?? process.env.HVYM_TUNNEL_RELAY;
  if (relay === undefined) throw new UsageError("no relay is named: --relay wss://tunnel.example, or HVYM_TUNNEL_RELAY");
  const [given] = positionals;
  const target = /^\d+$/.test(given) ? Number(given) : given;
  const secret = values.identity ? await readFile(values.identity, "utf8") : process.env.HVYM_TUNNEL_SECRET;
  const identity = secret ? Identity.fromSecret(secret.trim()) : Identity.generate();
  const service = values.service ?? (String(target).startsWith("tcp:") ? "tcp" : "app");
  const { url, tunnel } = await serve(target, { relay: /:\/\//.test(relay) ? relay : `wss://${relay}`, identity, service });
  tunnel.addEventListener("down", ({ detail }) => detail.retryIn !== undefined && console.error(`${detail.message}; trying again`));
  tunnel.addEventListener("error", ({ detail }) => say(detail));
  console.log(url);
  onSignal(() => tunnel.close());
  const { code, error } = await tunnel.closed;
  if (code !== "closed") throw error;
}

async function connect(args) {
  const { values } = parse(args, CONNECT_OPTIONS);
  if (values.help) return console.log(USAGE);
  const { token, server: serverUrl, target: targetUrl, force } = values;
  if (token === undefined) throw new UsageError("a token is needed: --token tun_..");
  const reconnectInterval = Number(values.reconnect) * 1000;
  if (!(reconnectInterval > 0)) throw new UsageError("--reconnect is a number of seconds");
  const client = new TunnelClient({ serverUrl, token, targetUrl, force, reconnectInterval });
  client.on("onConnect", (domain) => console.log(`connected: domain=${domain}`));
  client.on("onDisconnect", () => console.log("disconnected"));
  client.on("onError", say);
  onSignal(() => client.stop());
  await client.run();
}

function onSignal(stop) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
}

function say({ message, hint }) {
  console.error(hint === undefined ? message : `${message} (${hint})`);
}

try {
  const [command, ...rest] = process.argv.slice(2);
  await (command === "connect" ? connect(rest) : expose(process.argv.slice(2)));
  process.exit(0);
} catch (error) {
  const isUsage = error instanceof UsageError || error instanceof TypeError;
  say(error);
  if (isUsage) console.error("\nhvym-tunnel --help shows what there is");
  process.exit(isUsage ? USAGE_EXIT : FAILED_EXIT);
}
