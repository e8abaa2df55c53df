// @ts-ignore Without the types of Node.js it is `any`.
import type { Duplex } from "node:stream";

import { Tunnel as PageTunnel } from "./index.js";
import type { Handler, Identity, ServeOptions, Signer, Target, TunnelOptions } from "./index.js";

export * from "./index.js";

/** A {@link PageTunnel} of a program for Node.js, Deno or Bun. It brings a WebSocket where the runtime has none. */
export class Tunnel extends PageTunnel {
  static connect(options: TunnelOptions & { signal?: AbortSignal }): Promise<Tunnel>;
  /**
   * Offers a service of this machine: `http://localhost:3000` or `https://..`, WebSockets included, or `tcp://localhost:5432`. Resolves as
   * {@link PageTunnel.serve} does. Where nothing answers, visitors get a page of status 502, and streams end.
   * @throws {TypeError} another kind of URL, or a server that does not listen
   */
  forward(service: string, target: LocalTarget, options?: ServeOptions): Promise<string>;
  /**
   * A stream to a service of another identity as a socket, for libraries that take one; it emits `connect`. Whatever ends it, it is
   * destroyed, with a {@link TunnelError} as for {@link PageTunnel.connectStream} if there is one.
   */
  createConnection(target: Target): Duplex;
}

/** A service of this machine: its URL, the port of HTTP, or a server of `node:http` that listens. */
export type LocalTarget = string | URL | number | { address(): { port: number; address: string } | string | null };

/** Where a program is served, by {@link serve}. */
export interface Served {
  readonly url: string;
  readonly tunnel: Tunnel;
  /** Ends the connection, and with it the service. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The options of a tunnel with one service. */
export interface ServeTunnelOptions extends Omit<TunnelOptions, "identity">, ServeOptions {
  /** A new one, if left out. */
  identity?: Identity | Signer | Promise<Identity | Signer>;
  /** Its name; `app` if left out. */
  service?: string;
  /** Ends the attempt to connect. */
  signal?: AbortSignal;
}

/**
 * Connects, and offers a handler, or a service of this machine. With the package `hvym-tunnel-native` installed, services of this
 * machine are forwarded without JavaScript, those of {@link Tunnel.forward} of this tunnel too.
 *
 * ```ts
 * const { url } = await serve(3000, { relay: "wss://tunnel.example" });
 * ```
 * @throws {TunnelError} why it cannot be connected, or served
 */
export function serve(target: Handler | LocalTarget, options: ServeTunnelOptions): Promise<Served>;
