// The package outside browsers: for Node.js, where the module is read from the disk and local services are reached.

import { readFile } from "node:fs/promises";

import { forwardHandler, pipeHandler, placeOf } from "./forward.js";
import { provide } from "./load.js";
import { Tunnel as PageTunnel } from "./page.js";

provide(() => readFile(new URL("runner_bg.wasm", import.meta.url)));

export * from "./index.js";

export class Tunnel extends PageTunnel {
  async forward(service, target, options) {
    const place = placeOf(target);
    if (place.isHttp) return this.serve(service, forwardHandler(place), options);
    return this.serveStream(service, pipeHandler(place), options);
  }
}
