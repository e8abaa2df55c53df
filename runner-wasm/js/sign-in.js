// The page of a relay for a service that is not public: asks for a key, and opens the service by a bridge.

import { bridged, closeBridge, openBridge } from "./bridge.js";
import { freighter, hasFreighter } from "./freighter.js";
import { Identity } from "./page.js";
import { kept } from "./store.js";

const { relay, relayAddress, owner, service } = document.body.dataset;
const target = `${owner}/${service}`;
const element = (id) => document.getElementById(id);
/** The folder of the bridge's own files, which is a page, too: there one can leave. */
const OWN = new URL(".", import.meta.url).pathname;

function say(text) {
  element("status").textContent = text;
}

function setBusy(isBusy) {
  for (const button of document.querySelectorAll("button")) button.disabled = isBusy;
}

/** Opens the service as the identity that `identify` gives, and goes there. What another one has left is removed. */
async function open(identify) {
  setBusy(true);
  element("refused").hidden = true;
  say("Opening ..");
  let identity;
  try {
    identity = await identify();
    if (identity.shared && identity.shared.target !== target) throw new Error("This link is for another service.");
    await openBridge({ relay, relayAddress, target, identity, clear: true });
    const { pathname, search } = location;
    location.replace(pathname === OWN ? "/" : pathname + search);
  } catch (error) {
    setBusy(false);
    await choose();
    if (error.code === "not_reachable" && identity) {
      element("address").textContent = identity.address;
      element("refused").hidden = identity.shared !== undefined;
      say("There is no such service, or this key is not let in.");
    } else say(error.hint ? `${error.message}: ${error.hint}` : error.message);
  }
}

/** Opens the service by a share link, once the person has agreed if the browser has it open with another key. */
async function openLink(link) {
  const openIt = () => open(() => Identity.fromShareLink(link, { keep: true }));
  const linked = await Identity.fromShareLink(link);
  const { address } = linked;
  await linked.forget();
  const before = await bridged();
  if (!before || before.address === address) return openIt();
  element("replace").addEventListener("click", openIt);
  element("replace").hidden = false;
  say("This browser has the service open with another key.");
  return choose();
}

/** Shows what a person can do. */
async function choose() {
  const isUsed = (await kept("bridge", "settings").catch(() => undefined)) !== undefined;
  // A tab keeps its own, also when another tab has left.
  if (!isUsed) sessionStorage.clear();
  element("forget").hidden = !isUsed;
  element("choices").hidden = false;
  element("wallet").hidden = !(await hasFreighter());
}

element("browser").addEventListener("click", () => open(() => Identity.persistent()));
element("wallet").addEventListener("click", () =>
  open(() => Identity.fromWallet(freighter, { may: ["call"], services: [target], relay })),
);
element("copy").addEventListener("click", () => navigator.clipboard.writeText(element("address").textContent));
element("forget").addEventListener("click", async () => {
  await closeBridge({ forget: true, clear: true });
  location.replace("/");
});

/** Takes the share link in the address, if there is one. */
function takeLink() {
  if (!location.hash.startsWith("#share=")) return false;
  const link = location.href;
  // The key is in the address: nobody who looks at it later, or at the history, should have it.
  history.replaceState(null, "", location.pathname + location.search);
  openLink(link).catch((error) => {
    say(error.message);
    choose();
  });
  return true;
}

if (!isSecureContext) {
  say("A browser opens private services by https alone, or on the machine of the relay.");
} else {
  addEventListener("hashchange", takeLink);
  if (!takeLink()) choose();
}
