// A page that uses each part of the package once, so that the compiler checks the types.

import { Identity, Tunnel, TunnelError, load } from "hvym-tunnel";
import type { Handler, Signer, TunnelState } from "hvym-tunnel";

const handler: Handler = async (request, { visitor, from }) => {
  if (request.method === "POST") return new Response(await request.text());
  return { status: 201, headers: { "set-cookie": "a=1" }, body: `${visitor ?? from ?? "nobody"}` };
};

async function connect(relay: string, relayAddress: string): Promise<string> {
  await load();
  const identity = await Identity.generate();
  const wallet: Signer = { address: identity.address, sign: async (bytes) => identity.sign(bytes) };
  const tunnel = await Tunnel.connect({ relay, relayAddress, identity: wallet, signal: AbortSignal.timeout(60_000) });
  tunnel.addEventListener("state", ({ detail }) => {
    const state: TunnelState = detail.state;
    document.title = state;
  });
  tunnel.addEventListener("down", ({ detail }) => {
    document.title = detail.retryIn === undefined ? detail.message : `${detail.code} ${detail.retryIn.toFixed()}`;
  });
  tunnel.addEventListener("stream", ({ detail }) => (document.title = detail.service));
  const url: string = await tunnel.serve("app", handler);
  await tunnel.serve("friends", () => new Response(null), { allow: [identity.address] });
  const response: Response = await tunnel.fetch(`${identity.address}/app`, "/", {
    method: "POST",
    headers: { accept: "text/plain" },
    body: "echo",
  });
  const text = await response.text();
  try {
    const { readable, writable } = await tunnel.connectStream(`${identity.address}/nothing`);
    await readable.pipeTo(writable);
  } catch (error) {
    if (!(error instanceof TunnelError) || error.code !== "not_reachable") throw error;
  }
  tunnel.unserve("friends");
  await tunnel.serveFile("file", new Blob(["x"]), { name: "x.txt" });
  await tunnel.serveStream("bytes", ({ readable, writable }) => readable.pipeTo(writable), { allow: [] });
  await tunnel.serve("chat", (_, { upgrade }) => {
    const { response, socket } = upgrade({ protocol: "v1" });
    socket.onmessage = ({ data }) => socket.send(String(data));
    return response;
  });
  const request = new Request(tunnel.url ?? "http://localhost", { method: "POST", body: "x" });
  void (() => tunnel.fetch(request, { redirect: "manual", signal: null }));
  const socket = tunnel.webSocket(`${identity.address}/chat`, ["v1"], { headers: { origin: location.origin } });
  socket.onopen = () => socket.close(1000, "enough");
  const events = tunnel.eventSource(`${identity.address}/app/events`);
  events.onmessage = ({ data }) => (document.title = String(data));
  void tunnel.closed.then(({ code }) => code);
  return `${url} ${tunnel.state} ${text}`;
}

// @ts-expect-error an identity is needed
void (() => Tunnel.connect({ relay: "wss://tunnel.example" }));
// @ts-expect-error a handler answers with a response
void ((tunnel: Tunnel) => tunnel.serve("app", () => 42));

Object.assign(window, { connect });
