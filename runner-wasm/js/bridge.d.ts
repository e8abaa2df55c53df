import type { Address, Identity, Target } from "./index.js";

/** Where the pages of an origin are led, and by whose key. */
export interface BridgeOptions {
  /** The relay: `wss://tunnel.example`. */
  relay: string | URL;
  /** Who the relay must be; left out, whoever answers now. */
  relayAddress?: Address;
  /** The service. */
  target: Target;
  /** An identity that the browser keeps. Scripts of the service can sign with it: give it one that is good for this service alone. */
  identity: Identity;
  /** The paths that are led there; all of the origin if left out. */
  scope?: string;
  /** If it takes the place of a bridge with another identity or target: whether all that pages of this origin have stored goes. */
  clear?: boolean;
}

/**
 * Leads all pages of this origin to one private service of an identity, by a service worker: requests, uploads, redirects,
 * cookies, server-sent events and WebSockets. Resolves when it is in place; the next page that is loaded is the service's.
 *
 * The files of the package have to be served from this origin, with `Service-Worker-Allowed: /` for `bridge-worker.js` unless
 * they lie at its root, and the service should have an origin of its own.
 * @throws {TunnelError} `unsupported`, `not_reachable`, or why the relay lets nobody in
 */
export function openBridge(options: BridgeOptions): Promise<void>;

/**
 * Ends the bridge of this origin, loads its other pages anew, and forgets the cookies of the service; with `forget` also the key,
 * with `clear` all that pages of this origin have stored.
 */
export function closeBridge(options?: { forget?: boolean; clear?: boolean }): Promise<void>;

/** Where this origin leads, and as whom; nothing if it is no bridge. */
export function bridged(): Promise<{ relay: string; target: Target; address: Address } | undefined>;
