// Connects, serves and fetches once, and reports what came of it.

const query = new URLSearchParams(location.search);
const [relay, relayAddress] = [query.get("relay"), query.get("address")];

async function once(load) {
  const { Identity, Tunnel } = (await load()).tunnel;
  const identity = await Identity.generate();
  const tunnel = await Tunnel.connect({ relay, relayAddress, identity });
  const url = await tunnel.serve("app", async (request) => new Response(`you said ${await request.text()}`));
  const response = await tunnel.fetch(`${identity.address}/app`, { method: "POST", body: "hello" });
  return { text: await response.text(), url };
}

/** `load` gives the package. */
export async function tell(load) {
  const told = await once(load).catch(({ name, code, message, hint }) => ({ name, code, message, hint }));
  // A page of another server may send it, too.
  await fetch(query.get("report"), { method: "POST", mode: "no-cors", body: JSON.stringify(told) });
}
