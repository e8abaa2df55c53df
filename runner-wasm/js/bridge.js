// Opens a private service of an identity in this browser: all pages of this origin are the service's from then on.

import { TunnelError } from "./error.js";
import { nameOf } from "./identity.js";
import { Tunnel } from "./page.js";
import { clearSiteData } from "./site-data.js";
import { drop, keep, kept } from "./store.js";

/** The worker, beside this file. */
const WORKER = new URL("./bridge-worker.js", import.meta.url).href;

/** Its URL for browsers that know Trusted Types: there a text is no URL of a script. */
let trustedWorker;

function workerUrl() {
  trustedWorker ??= globalThis.trustedTypes
    ?.createPolicy("hvym-tunnel", { createScriptURL: () => WORKER })
    .createScriptURL("");
  return trustedWorker ?? WORKER;
}

/** What this origin leads to; `undefined` if it is no bridge. */
export async function bridged() {
  const settings = await kept("bridge", "settings");
  if (!settings || settings.isOver) return undefined;
  const { relay, target, address } = settings;
  return { relay, target, address };
}

export async function openBridge({ relay, relayAddress, target, identity, scope = "/", clear = false }) {
  const workers = navigator.serviceWorker;
  if (workers === undefined) {
    throw new TunnelError("unsupported", "this page has no service workers", "open it by https, and not in a private window");
  }
  const name = nameOf(identity);
  if (name === undefined) {
    throw new TypeError("a bridge takes an identity that the browser keeps: persistent(), fromWallet() or fromShareLink(link, { keep: true })");
  }
  // A key that is let in nowhere is said now, and not by a page that does not load.
  const tunnel = await Tunnel.connect({ relay, relayAddress, identity });
  try {
    const { writable } = await tunnel.connectStream(target);
    await writable.abort();
    relayAddress ??= tunnel.relayAddress;
  } finally {
    tunnel.close();
  }
  const { address } = identity;
  const before = await kept("bridge", "settings");
  // Nobody goes on with another's cookies.
  if (before && (before.target !== target || before.address !== address)) await closeBridge({ clear });
  await keep("bridge", "settings", { relay: String(relay), relayAddress, target, name, address });
  const registration = await workers.register(workerUrl(), { scope, type: "module", updateViaCache: "none" });
  await active(registration);
  // A worker that runs already has another tunnel, or none.
  await told(registration.active, { kind: "close" });
}

export async function closeBridge({ forget = false, clear = false } = {}) {
  const settings = await kept("bridge", "settings");
  if (forget && settings) await drop("identities", settings.name);
  await drop("bridge", "settings");
  const registrations = (await navigator.serviceWorker?.getRegistrations()) ?? [];
  for (const registration of registrations.filter(({ active }) => active?.scriptURL === WORKER)) {
    await told(registration.active, { kind: "leave" });
    await registration.unregister();
  }
  // Not before the worker writes no more.
  await drop("bridge", "cookies");
  if (clear) await clearSiteData();
}

/** Waits until the worker of a registration runs. */
function active(registration) {
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new TunnelError("unsupported", "the browser does not run the service worker"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** Sends a message to a worker, and waits for its answer. */
function told(worker, message) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve();
    worker.postMessage(message, [port2]);
  });
}
