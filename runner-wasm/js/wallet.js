// Wallets: they sign one text, which lets a key of the browser act for their account, and are not asked again.

import { base64url, newKey } from "./browser-key.js";
import { TunnelError } from "./error.js";
import { checkDelegation } from "./runner.js";
import { drop, keep, kept } from "./store.js";

const DAY = 24 * 3600 * 1000;
/** Until when a delegation is good if the page does not say: a person agrees to it once a month. */
const DEFAULT_DAYS = 30;
/** What is over so soon is asked for again now, and not in the middle of what the page does. */
const MARGIN = 60 * 1000;

/**
 * The key that acts for the wallet's account, from the browser's store or by a delegation that the wallet signs now:
 * `{ name, record, drop }`, with what takes it out of the store.
 */
export async function delegatedKey(wallet, options) {
  const { address, sign } = await open(wallet, options.address);
  const terms = termsOf(address, options);
  const name = ["wallet", address, terms.may, terms.services.join(), terms.relay ?? ""].join(" ");
  const find = async () => {
    const record = await kept("identities", name);
    if (record !== undefined && record.until > Date.now() + MARGIN) return { name, record, drop };
    const made = await delegate(address, sign, terms);
    await keep("identities", name, made);
    return { name, record: made, drop };
  };
  // Tabs that open at the same time ask for one signature.
  return navigator.locks ? navigator.locks.request(`hvym-tunnel ${name}`, find) : find();
}

function termsOf(owner, { may = ["agent", "call"], services = [], relay, until }) {
  const scopes = ["agent", "call"].filter((scope) => may.includes(scope));
  return {
    may: scopes.join(),
    // A service of the account itself is named without its address.
    services: services.map((service) => (service.startsWith(`${owner}/`) ? service.slice(owner.length + 1) : service)),
    relay: relay === undefined ? undefined : new URL(relay).host,
    until: until === undefined ? Date.now() + DEFAULT_DAYS * DAY : Number(until),
  };
}

async function delegate(owner, sign, terms) {
  const key = await newKey();
  const lines = ["hvym-tunnel delegation v2", `owner: ${owner}`, `key: ${key.address}`, `may: ${terms.may}`];
  if (terms.services.length > 0) lines.push(`services: ${terms.services.join()}`);
  if (terms.relay !== undefined) lines.push(`relay: ${terms.relay}`);
  const id = base64url(crypto.getRandomValues(new Uint8Array(16)));
  lines.push(`from: ${stamp(Date.now())}`, `until: ${stamp(terms.until)}`, `id: ${id}`);
  const text = lines.join("\n");
  try {
    checkDelegation(text, base64url(new Uint8Array(64)), "raw");
  } catch (error) {
    // Nobody is asked to sign what no relay takes.
    if (error.code !== "signer_mismatch") throw error;
  }
  const delegation = signed(text, await sign(text));
  return { ...key, owner, delegation, id, until: Math.floor(terms.until / 1000) * 1000, may: terms.may };
}

/** The delegation as the module takes it, in the form that the wallet signed. */
function signed(text, signature) {
  const encoded = base64url(signature);
  let fault;
  for (const form of ["sep53", "raw"]) {
    try {
      checkDelegation(text, encoded, form);
      return [text, encoded, form];
    } catch (error) {
      fault ??= error;
    }
  }
  throw new TunnelError("signer_mismatch", fault.message, "open the account in your wallet that the address names");
}

/** The account of a wallet, and how it signs a text. */
async function open(wallet, wanted) {
  // Wallets-Kit is a class, and so a function, with static methods.
  const isWallet = typeof wallet?.signMessage === "function";
  if (isWallet || typeof wallet === "function") {
    if (isWallet) await checkInstalled(wallet);
    const address = wanted ?? (await addressOfWallet(wallet));
    const ask = isWallet ? (text, how) => wallet.signMessage(text, how) : wallet;
    return { address, sign: async (text) => messageSignature(await refusable(() => ask(text, { address })), address) };
  }
  if (typeof wallet?.sign === "function") {
    const sign = async (text) => bytesOf(await refusable(() => wallet.sign(new TextEncoder().encode(text))));
    return { address: wanted ?? String(wallet.address), sign };
  }
  throw new TypeError("a wallet has signMessage, or sign and an address");
}

/** Freighter's library waits for ever for an extension that is not there. */
async function checkInstalled(wallet) {
  if (typeof wallet.isConnected !== "function") return;
  const { isConnected } = (await refusable(() => wallet.isConnected())) ?? {};
  if (isConnected === false) {
    throw new TunnelError("signer_refused", "the wallet is not installed in this browser", "install it, and load the page again");
  }
}

async function addressOfWallet(wallet) {
  if (typeof wallet.getAddress !== "function") throw new TypeError("the address of the wallet's account is needed");
  let found = await refusable(() => wallet.getAddress());
  // Freighter gives an empty address to a page that was not let in yet.
  if (!found?.address && typeof wallet.requestAccess === "function") {
    found = await refusable(() => wallet.requestAccess());
  }
  if (found?.error || !found?.address) throw refused(found?.error);
  return found.address;
}

/** What a wallet throws is a no. */
async function refusable(ask) {
  try {
    return await ask();
  } catch (error) {
    throw refused(error);
  }
}

function refused(error) {
  const why = typeof error === "string" ? error : (error?.message ?? "it gave nothing");
  return new TunnelError("signer_refused", `the wallet did not agree: ${why}`, "connect again and agree to the signature");
}

/** The signature in the answer of `signMessage`, as Freighter (all versions of its interface) and Wallets-Kit give it. */
function messageSignature(answer, address) {
  if (answer?.error) throw refused(answer.error);
  const signature = answer?.signedMessage ?? (isSignature(answer) ? answer : undefined);
  if (!signature) throw refused();
  if (answer.signerAddress && answer.signerAddress !== address) {
    const message = `the wallet signed as ${answer.signerAddress}, and not as ${address}`;
    throw new TunnelError("signer_mismatch", message, "open the account in your wallet that the address names");
  }
  return bytesOf(signature);
}

const isSignature = (value) => typeof value === "string" || ArrayBuffer.isView(value);

/** Bytes, base64, hexadecimal as Bitget gives it, or what JSON makes of a Buffer, as 64 bytes. */
function bytesOf(signature) {
  if (signature === null || signature === undefined) throw refused();
  let bytes;
  if (typeof signature === "string") bytes = HEX_SIGNATURE.test(signature) ? fromHex(signature) : fromBase64(signature);
  else if (ArrayBuffer.isView(signature)) {
    bytes = new Uint8Array(signature.buffer, signature.byteOffset, signature.byteLength);
  } else if (Array.isArray(signature.data)) bytes = Uint8Array.from(signature.data);
  if (bytes?.length !== 64) {
    throw new TunnelError("signer_invalid", "the wallet gave something that is no Ed25519 signature of 64 bytes");
  }
  return bytes;
}

const HEX_SIGNATURE = /^[0-9a-f]{128}$/i;

const fromHex = (text) => Uint8Array.from(text.match(/../g), (byte) => Number.parseInt(byte, 16));

function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** A time as delegations write it. */
const stamp = (time) => new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
