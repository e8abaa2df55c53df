// Stellar key pairs, whose secrets stay inside the module's memory.

import { TunnelError } from "./error.js";
import { load } from "./load.js";
import { Identity as Key } from "./runner.js";

const keys = new WeakMap();

export class Identity {
  constructor(key, secret) {
    if (secret !== keys) throw new TypeError("use Identity.generate() or Identity.fromSecret()");
    keys.set(this, key);
    Object.defineProperty(this, "address", { value: key.address, enumerable: true });
  }

  static async generate() {
    await load();
    return new Identity(Key.generate(), keys);
  }

  static async fromSecret(secret) {
    await load();
    return new Identity(Key.fromSecret(String(secret)), keys);
  }

  async sign(bytes) {
    return keyOf(this).sign(bytes);
  }

  exportSecret() {
    return keyOf(this).exportSecret();
  }

  forget() {
    keys.get(this)?.free();
    keys.delete(this);
  }
}

/** The key of an `Identity`; nothing for another signer. */
export function keyOf(identity) {
  if (!(identity instanceof Identity)) return undefined;
  const key = keys.get(identity);
  if (key === undefined) throw new TunnelError("forgotten", "this identity was forgotten");
  return key;
}
