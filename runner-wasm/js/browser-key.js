// Ed25519 keys of the browser (WebCrypto) whose private half no script can read, also not this one.

import { TunnelError } from "./error.js";
import { addressOf } from "./runner.js";

const ALGORITHM = { name: "Ed25519" };
/** PKCS #8 (RFC 8410 section 7) ahead of the 32 bytes of a seed. */
const PKCS8_HEAD = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/** A new key: `{ privateKey, address }`. The module has to be loaded. */
export async function newKey() {
  let pair;
  try {
    pair = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
  } catch (error) {
    const hint = "update the browser, and open the page by https; Identity.generate() works without it";
    throw new TunnelError("unsupported", `this browser has no Ed25519 keys here: ${error}`, hint);
  }
  const raw = await crypto.subtle.exportKey("raw", pair.publicKey);
  return { privateKey: pair.privateKey, address: addressOf(new Uint8Array(raw)) };
}

/**
 * The key in a share link that the module has read, whose public half is `address`, with what it is allowed by. Of the key
 * itself no copy is left but in the link.
 */
export async function linkedKey(link, address) {
  const share = link.trim().split("#share=")[1];
  const bytes = Uint8Array.from(atob(share.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const encoded = new Uint8Array([...PKCS8_HEAD, ...bytes.subarray(1, 33)]);
  bytes.fill(0, 1, 33);
  const signature = base64url(bytes.subarray(33, 97));
  const text = new TextDecoder().decode(bytes.subarray(97));
  try {
    const privateKey = await crypto.subtle.importKey("pkcs8", encoded, ALGORITHM, false, ["sign"]);
    return { privateKey, address, delegation: [text, signature, bytes[0] === 0 ? "raw" : "sep53"] };
  } finally {
    encoded.fill(0);
  }
}

/** Base64url without padding (RFC 4648 section 5). */
export function base64url(bytes) {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
