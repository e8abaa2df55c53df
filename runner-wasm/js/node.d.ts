import { Tunnel as PageTunnel } from "./index.js";
import type { ServeOptions, TunnelOptions } from "./index.js";

export * from "./index.js";

/** A {@link PageTunnel} of a program for Node.js. */
export class Tunnel extends PageTunnel {
  static connect(options: TunnelOptions & { signal?: AbortSignal }): Promise<Tunnel>;
  /**
   * Offers a service of this machine: `http://localhost:3000`, WebSockets included, or `tcp://localhost:5432`. Resolves as
   * {@link PageTunnel.serve} does. Where nothing answers, visitors get a page of status 502, and streams end.
   * @throws {TypeError} another kind of URL
   */
  forward(service: string, target: string | URL, options?: ServeOptions): Promise<string>;
}
