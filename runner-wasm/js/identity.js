// Stellar key pairs. Their secrets stay in the module's memory.

import { TunnelError } from "./error.js";
import { load } from "./load.js";
import { Identity as KeyPair } from "./runner.js";

// Also the token that only this file can pass to the constructor.
const keyPairs = new WeakMap();

export class Identity {
  constructor(keyPair, token) {
    if (token !== keyPairs) throw new TypeError("use Identity.generate(), fromSecret() or fromShareLink()");
    keyPairs.set(this, keyPair);
    Object.defineProperty(this, "address", { value: keyPair.address, enumerable: true });
    const { relay, target, until } = keyPair;
    const shared = relay && Object.freeze({ relay, target, until: new Date(until * 1000) });
    Object.defineProperty(this, "shared", { value: shared, enumerable: true });
  }

  static async generate() {
    await load();
    return new Identity(KeyPair.generate(), keyPairs);
  }

  static async fromSecret(secret) {
    await load();
    return new Identity(KeyPair.fromSecret(String(secret)), keyPairs);
  }

  static async fromShareLink(link) {
    await load();
    return new Identity(KeyPair.fromShareLink(String(link)), keyPairs);
  }

  async sign(bytes) {
    return keyPairOf(this).sign(bytes);
  }

  exportSecret() {
    return keyPairOf(this).exportSecret();
  }

  forget() {
    keyPairs.get(this)?.free();
    keyPairs.delete(this);
  }
}

/** The key pair of an `Identity`; `undefined` for another signer. */
export function keyPairOf(identity) {
  if (!(identity instanceof Identity)) return undefined;
  const keyPair = keyPairs.get(identity);
  if (keyPair === undefined) throw new TunnelError("forgotten", "this identity was forgotten");
  return keyPair;
}
