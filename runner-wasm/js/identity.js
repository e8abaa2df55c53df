// Stellar key pairs: in the module's memory, or kept by the browser.

import { TunnelError } from "./error.js";
import { load } from "./load.js";
import { part } from "./parts.js";
import { Identity as KeyPair } from "./runner.js";

// What signs: `{ keyPair }` in the module, or `{ name, record, drop }` in the browser's store. Also the token that only this file
// can pass to the constructor.
const secrets = new WeakMap();

/** After these the delegation is good for nothing, and a wallet has to sign another one. */
const OVER = ["delegation_expired", "delegation_revoked"];

export class Identity {
  constructor(secret, token) {
    if (token !== secrets) throw new TypeError("use Identity.generate(), persistent(), fromWallet(), ..");
    secrets.set(this, secret);
    const { keyPair, record } = secret;
    Object.defineProperty(this, "address", { value: keyPair?.address ?? record.owner ?? record.address, enumerable: true });
    const { relay, target, until } = keyPair ?? record.shared ?? {};
    const shared = relay && Object.freeze({ relay, target, until: new Date(until * 1000) });
    Object.defineProperty(this, "shared", { value: shared, enumerable: true });
  }

  static async generate() {
    await load();
    return new Identity({ keyPair: KeyPair.generate() }, secrets);
  }

  static async fromSecret(secret) {
    await load();
    return new Identity({ keyPair: KeyPair.fromSecret(String(secret)) }, secrets);
  }

  static async fromShareLink(link, { keep: isKept = false } = {}) {
    await load();
    const keyPair = KeyPair.fromShareLink(String(link));
    if (!isKept) return new Identity({ keyPair }, secrets);
    const { relay, target, until, address } = keyPair;
    keyPair.free();
    const { linkedKey, keep, drop } = await part("keys");
    const record = { ...(await linkedKey(String(link), address)), shared: { relay, target, until } };
    const name = `link ${target}`;
    await keep("identities", name, record);
    return identityOf(name, record, drop);
  }

  static async persistent(name = "default") {
    const [{ kept, keepFirst, newKey, drop }] = await Promise.all([part("keys"), load()]);
    const key = `key ${name}`;
    const record = (await kept("identities", key)) ?? (await keepFirst("identities", key, await newKey()));
    return identityOf(key, record, drop);
  }

  async sign(bytes) {
    const { keyPair, record } = secretOf(this);
    return keyPair ? keyPair.sign(bytes) : signWith(record.privateKey, bytes);
  }

  exportSecret() {
    const { keyPair } = secretOf(this);
    if (keyPair) return keyPair.exportSecret();
    throw new TunnelError("not_extractable", "the browser keeps this key, and gives it to nobody");
  }

  async forget() {
    const secret = secrets.get(this);
    secrets.delete(this);
    secret?.keyPair?.free();
    if (secret?.name) await secret.drop("identities", secret.name);
  }
}

/** The signature of `bytes` by a key of the browser. */
const signWith = async (key, bytes) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, bytes));

/**
 * The identity of a `record` that is kept under `name`, and that `drop` of the store takes out: at once, so that whoever asks for
 * it afterwards does not find it. The module has to be loaded.
 */
export const identityOf = (name, record, drop) => new Identity({ name, record, drop }, secrets);

function secretOf(identity) {
  const secret = secrets.get(identity);
  if (secret === undefined) throw new TunnelError("forgotten", "this identity was forgotten");
  return secret;
}

/**
 * What a tunnel logs in with: `keyPair` of the module, or `sign`, with the `delegation` by which the key acts for `address`.
 * `identity` may also be a signer of the page's own.
 */
export function credentialOf(identity) {
  if (!(identity instanceof Identity)) {
    if (typeof identity.sign !== "function") throw new TypeError("the identity cannot sign");
    return { address: String(identity.address), sign: (bytes) => identity.sign(bytes) };
  }
  const { keyPair, record } = secretOf(identity);
  if (keyPair) return { keyPair };
  const { privateKey, delegation } = record;
  return { address: identity.address, sign: (bytes) => signWith(privateKey, bytes), delegation };
}

/** The name under which the browser keeps an identity; `undefined` if it does not. */
export function nameOf(identity) {
  return identity instanceof Identity ? secretOf(identity).name : undefined;
}

/** The identity that is kept under a name of {@link nameOf}; `undefined` if none is. */
export async function identityNamed(name) {
  const [{ kept, drop }] = await Promise.all([part("keys"), load()]);
  const record = await kept("identities", name);
  return record && identityOf(name, record, drop);
}

/** A login ended with `code`: a delegation that is over is not kept. */
export async function handleEnd(identity, code) {
  const secret = secrets.get(identity);
  if (secret?.record?.delegation && OVER.includes(code)) await secret.drop("identities", secret.name);
}
