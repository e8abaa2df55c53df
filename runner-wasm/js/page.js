// What pages have beside the classes that workers have, too, and how pages load the rest: when it is asked for.

import { Identity, identityOf } from "./identity.js";
import { load } from "./load.js";
import { provideParts } from "./parts.js";
import { Tunnel as WorkerTunnel } from "./tunnel.js";

provideParts({
  keys: () => import("./keys.js"),
  reach: () => import("./reach.js"),
  serve: () => import("./serve.js"),
});

export { Identity };

Object.defineProperty(Identity, "fromWallet", {
  async value(wallet, options = {}) {
    const [{ delegatedKey }] = await Promise.all([import("./wallet.js"), load()]);
    const { name, record, drop } = await delegatedKey(wallet, options);
    return identityOf(name, record, drop);
  },
  configurable: true,
  writable: true,
});

export class Tunnel extends WorkerTunnel {
  static async shared(options) {
    const { openShared } = await import("./shared.js");
    return openShared(options);
  }

  async serveFile(service, file, { type, name, ...options } = {}) {
    if (!(file instanceof Blob)) throw new TypeError("a file is a Blob");
    const { fileHandler } = await import("./files.js");
    return this.serve(service, fileHandler(file, { type, name }), options);
  }
}
