/**
 * A tunnel in a browser tab: gives functions of a page a public address, and reaches services of other identities,
 * through a relay, over one WebSocket.
 *
 * ```ts
 * const tunnel = await Tunnel.connect({ relay: "wss://tunnel.example", identity: Identity.generate() });
 * const url = await tunnel.serve("app", (request) => new Response("hello from a tab"));
 * ```
 */

declare global {
  interface SymbolConstructor {
    /** For versions of TypeScript whose library does not have it. */
    readonly asyncDispose: unique symbol;
  }
}

/** The address of a Stellar account: `G` and 55 more characters. */
export type Address = string;

/** A service of an identity: `G.../service`. */
export type Target = string;

/** Bytes, in the kind that streams and signers get. */
export type Bytes = ReturnType<Uint8ArrayConstructor["of"]>;

/** Somebody else who signs logins, such as a wallet. */
export interface Signer {
  /** Whose signatures these are. */
  readonly address: Address;
  /**
   * The Ed25519 signature of `bytes` as they are, 64 bytes; `null`, or an error, is a no. It is called for every login,
   * so again after a connection was lost, and never twice at a time. There are 30 seconds for an answer; a no, a wrong
   * signature and no answer end the tunnel, and nothing asks again.
   */
  sign(bytes: Bytes): Promise<Uint8Array | null> | Uint8Array | null;
}

/**
 * A Stellar account of this page. Secrets are in the memory of the WebAssembly module, which scripts do not see, and are wiped by
 * {@link Identity.forget} or when the object is collected; or they are keys of the browser (WebCrypto), which no script can
 * read at all.
 */
export class Identity implements Signer {
  private constructor();
  /** A new one, from the browser's entropy. It is gone with the page. */
  static generate(): Promise<Identity>;
  /**
   * The one whose secret is `S...`. The text itself stays in the memory of JavaScript until that is collected.
   * @throws {TunnelError} `bad_secret`
   */
  static fromSecret(secret: string): Promise<Identity>;
  /**
   * The one that the browser keeps for this origin under `name`, made the first time. Scripts of the origin can sign with it
   * and cannot copy it. Clearing the site's data removes it.
   * @throws {TunnelError} `unsupported` in a browser without Ed25519, `no_storage`
   */
  static persistent(name?: string): Promise<Identity>;
  /**
   * A key of the browser that acts for the account of a wallet. The wallet signs a text (SEP-53) that says what is allowed and
   * until when; it is asked once, and again when that time is over or the owner has revoked it.
   * @throws {TunnelError} `signer_refused`, `signer_mismatch`, `signer_invalid`, `bad_delegation`, `unsupported`, `no_storage`
   */
  static fromWallet(wallet: Wallet | SignMessage | Signer, options?: WalletOptions): Promise<Identity>;
  /**
   * The one-off key in a link that `hvym-tunnel share` has made. A tunnel with it acts for the link's owner, and reaches that
   * one service: `tunnel.fetch(identity.shared.target)`. With `keep` the browser keeps it, until the next link to that service.
   * @throws {TunnelError} `bad_link`
   */
  static fromShareLink(link: string | URL, options?: { keep?: boolean }): Promise<Identity>;
  /** The name, `G...`: the public half, or the account for which the key acts. */
  readonly address: Address;
  /** What the share link is good for; nothing for other identities. */
  readonly shared?: Shared;
  /** The Ed25519 signature of `bytes`. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
  /**
   * The secret, `S...`. Whoever has it is this identity; a page keeps it at its own risk.
   * @throws {TunnelError} `not_extractable` for what the browser keeps
   */
  exportSecret(): string;
  /**
   * Wipes the secret, also where the browser keeps it. Tunnels that use it go on: those with a secret of the module have a copy
   * of their own, wiped when they are closed.
   */
  forget(): Promise<void>;
}

/** Signs a text as a message (SEP-53), as wallets do. */
export type SignMessage = (
  message: string,
  options: { address: Address },
) => Promise<SignedMessage | string | Uint8Array | null | undefined>;

/** What wallets answer. */
export interface SignedMessage {
  /** The signature: 64 bytes, or base64. */
  signedMessage: string | Uint8Array | { data: number[] } | null;
  signerAddress?: string;
  error?: unknown;
}

/** A wallet: the library of Freighter, or Stellar Wallets Kit (the class, or an instance of its first version). */
export interface Wallet {
  signMessage: SignMessage;
  isConnected?(): Promise<{ isConnected: boolean; error?: unknown }>;
  getAddress?(): Promise<{ address: string; error?: unknown }>;
  requestAccess?(): Promise<{ address: string; error?: unknown }>;
}

/** What a wallet's account lets the key of the browser do. */
export interface WalletOptions {
  /** The account, where the wallet does not say it. */
  address?: Address;
  /** Whether the key may serve, call services, or both, which is so if left out. */
  may?: ("agent" | "call")[];
  /** The services that it may serve or call: names of the account's own, `G.../service` of others. All if left out. */
  services?: string[];
  /** The only relay at which it is good. */
  relay?: string | URL;
  /** Until when, in milliseconds or as a date; 30 days from now if left out, 366 at most. */
  until?: number | Date;
}

/** What a share link is good for. */
export interface Shared {
  /** The relay to connect to. */
  readonly relay: string;
  /** The service. */
  readonly target: Target;
  /** When its time is over. */
  readonly until: Date;
}

export interface TunnelOptions {
  /**
   * The relay: `wss://tunnel.example`. Plain `ws://` works where the browser allows it: on this machine. With the identity of
   * a share link it may be left out.
   */
  relay?: string | URL;
  /**
   * Who the relay must be. Nothing is signed for another one. Left out, the first that answers at the URL and proves its key is trusted, and
   * no other while the tunnel lives; a page may keep {@link Up.relayAddress} and give it back here.
   */
  relayAddress?: Address;
  /** Who this page is. */
  identity: Identity | Signer | Promise<Identity | Signer>;
  /**
   * The class of WebSockets to dial with. Left out, it is the runtime's, or the package's own in Node.js before version 22.
   */
  WebSocket?: new (url: string) => object;
  /** Where the module is, if not beside this file: a URL, a response, or the module itself. It is loaded once. */
  module?: string | URL | Request | Response | Promise<Response> | BufferSource | WebAssembly.Module;
  /**
   * Left out, the page is a caller to the relay until it serves something. With `caller` its logins are good for reaching services of
   * others and for nothing else, so that whoever gets hold of one cannot serve by it. The identity of a share link is always a caller.
   */
  role?: "caller";
  /** How much of everything there may be. */
  limits?: Limits;
}

/** Limits of a tunnel. */
export interface Limits {
  /**
   * Streams that others may have open to this page, 1 to 1024; 128 if left out. Each may hold 256 KiB. Visitors beyond it wait at
   * the relay, and are told 503 if they wait in vain.
   */
  inbound?: number;
  /**
   * Streams of this page to services of others, 1 to 1024; 96 if left out. Requests beyond it wait for one. A relay allows an
   * identity 128, of all its pages.
   */
  outbound?: number;
  /** How long the next request of a connection to a service of this page may take to arrive, milliseconds; 60000 if left out. */
  requestHead?: number;
}

/**
 * - `disconnected`: not yet, or no longer, in use
 * - `connecting`: a WebSocket is being opened
 * - `authenticating`: it is open, and the login is under way
 * - `connected`: services can be reached, here and elsewhere
 * - `reconnecting`: the connection was lost, and the next attempt has its time
 * - `error`: it is over, and no further attempt is made
 */
export type TunnelState =
  | "disconnected"
  | "connecting"
  | "authenticating"
  | "connected"
  | "reconnecting"
  | "error";

/** What the `up` event says. */
export interface Up {
  /** Where the first public service is, or will be; nothing if the relay names an address that is not its own. */
  url?: string;
  /** Who the relay is. */
  relayAddress: Address;
  /** The services that the login named. */
  services: string[];
}

/** What the `down` event says. */
export interface Down {
  /** Why, as what a promise would be rejected with. */
  error: TunnelError;
  /** For a program. */
  code: ErrorCode;
  /** For a person. */
  message: string;
  /** What to do about it. */
  hint?: string;
  /** When the next attempt is, in milliseconds; nothing if there is none. */
  retryIn?: number;
}

/** What the `latency` event says. */
export interface Latency {
  /** From here to the relay and back, as the last ping found it. */
  milliseconds: number;
}

/** What the `stream` event says: somebody came to a service of this page. */
export interface StreamOpened {
  service: string;
  /** The visitor's address and port, as the relay saw them; nothing for an identity. */
  visitor?: string;
  /** Which identity it is, as the relay says; nothing for a visitor. */
  from?: Address;
}

/** What the `unbound` event says: another program of the same identity serves the service from now on. */
export interface Unbound {
  service: string;
  /** Which program, if it allows to tell. */
  by?: string;
}

/** The events of a {@link Tunnel}; what they say is their `detail`. */
export interface TunnelEventMap {
  state: CustomEvent<{ state: TunnelState }>;
  up: CustomEvent<Up>;
  down: CustomEvent<Down>;
  stream: CustomEvent<StreamOpened>;
  latency: CustomEvent<Latency>;
  unbound: CustomEvent<Unbound>;
  /** A {@link TunnelError}, or what a handler of the page threw. */
  error: CustomEvent<unknown>;
}

/** Who asks. */
export interface RequestContext {
  /** Which service was asked. */
  service: string;
  /** The address of the visitor of this request, as the relay saw it; nothing for an identity. */
  visitor?: string;
  /** Which identity asks, as the relay says; nothing for a visitor. */
  from?: Address;
  /**
   * Answers a request for a WebSocket: give `response` back, and use `socket`, which opens once that was sent. `protocol` is one of
   * those that the client offers.
   * @throws {TunnelError} `not_a_handshake`: the request asks for none
   */
  upgrade(options?: { protocol?: string }): WebSocketPair;
}

/** The server's end of a WebSocket. */
export interface WebSocketPair {
  /** What the handler has to give back. */
  response: ResponseParts;
  socket: TunnelWebSocket;
}

/** Who opened a stream to a service of bytes. */
export interface StreamContext {
  /** Which service. */
  service: string;
  /** Which identity it is, as the relay says; nothing for a visitor. */
  from?: Address;
}

/** An answer in parts. It may set what a `Response` of a page loses, such as `Set-Cookie`. */
export interface ResponseParts {
  /** 200 if left out. */
  status?: number;
  statusText?: string;
  headers?: HeadersInit;
  body?: BodyInit | null;
}

/**
 * Answers a request. `request.headers` has every field that came, also those that pages cannot set (`Host`, `Cookie`);
 * a clone of the request has not. `request.signal` is aborted when the visitor goes away, and the body of the answer
 * cancelled. A body of known length (any but a stream, or with a `Content-Length`) is sent as such. What is thrown
 * becomes a page of status 500 and an `error` event.
 */
export type Handler = (
  request: Request,
  context: RequestContext,
) => Response | ResponseParts | Promise<Response | ResponseParts>;

/** Who may come to a service. */
export interface ServeOptions {
  /** Whether everybody may, visitors of the relay included. True, unless there is a list. */
  public?: boolean;
  /** Which identities may; nobody else knows that the service is there. */
  allow?: Address[];
  /**
   * What happens when another program of the same identity serves this service: this page serves it instead (`takeover`, if
   * left out), `serve` is rejected with `name_taken` (`reject`), all that say so share the visitors (`pool`), or the next
   * takes over when the oldest goes (`standby`).
   */
  onConflict?: "takeover" | "reject" | "pool" | "standby";
}

/** How a file is served. */
export interface FileOptions extends ServeOptions {
  /** Its media type; that of the `Blob` if left out. */
  type?: string;
  /** The name under which browsers save it; left out, they show it. */
  name?: string;
}

/** A handler of streams of bytes. The stream is torn down if it throws. */
export type StreamHandler = (stream: ByteStreamPair, context: StreamContext) => void | Promise<void>;

/**
 * Whom to ask for what: `G.../service`, with a path and a query or without, or the service's long URL at the relay,
 * `https://service.g....domain/path`.
 */
export type Resource = string | URL;

export interface FetchInit {
  /** `GET` if left out. */
  method?: string;
  /** Every field but those that end at the next hop. */
  headers?: HeadersInit;
  /** A stream is sent as it comes, anything else with its length. */
  body?: BodyInit | null;
  /** Aborted, it tears the request down, at the service too. */
  signal?: AbortSignal | null;
  /**
   * `follow`, if left out, goes where a redirect leads, within the tunnel; `manual` gives the redirect itself, with its headers; `error`
   * is a `TypeError`.
   */
  redirect?: "follow" | "manual" | "error";
}

/**
 * A stream of bytes. Each half ends by itself; `cancel` and `abort` tear both down. What is written is a text, which is sent as
 * UTF-8, or an `ArrayBuffer` or a view of one; anything else tears the stream down.
 */
export interface ByteStreamPair {
  readable: ReadableStream<Bytes>;
  writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
}

/** A `WebSocket` through the tunnel, with its members, events and errors. `extensions` is empty: nothing is compressed. */
export interface TunnelWebSocket extends EventTarget {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;
  /** The URL; empty at the server's end. */
  readonly url: string;
  readonly protocol: string;
  readonly extensions: "";
  readonly readyState: 0 | 1 | 2 | 3;
  readonly bufferedAmount: number;
  binaryType: "blob" | "arraybuffer";
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string | ArrayBuffer | ArrayBufferView | Blob): void;
  close(code?: number, reason?: string): void;
}

/** An `EventSource` through the tunnel, with its members and events. */
export interface TunnelEventSource extends EventTarget {
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  readonly url: string;
  readonly readyState: 0 | 1 | 2;
  readonly withCredentials: false;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  close(): void;
}

/** An agent in this tab: one identity at one relay. It comes back by itself when the connection is lost. */
export class Tunnel extends EventTarget {
  /**
   * Dials at once, and goes on until it is connected or something has to be changed by a person. Listeners that are
   * added before the next `await` hear everything.
   */
  constructor(options: TunnelOptions);
  /**
   * The same, once it is connected. The first attempt counts: if it fails, so does this.
   * @throws {TunnelError} why it cannot be connected
   */
  static connect(options: TunnelOptions & { signal?: AbortSignal }): Promise<Tunnel>;
  /**
   * One tunnel for all pages of this origin, in a shared worker: the relay sees one connection, and it lives as long as any page
   * that uses it. The identity has to be one that the browser keeps.
   * @throws {TunnelError} `unsupported` in a browser without shared workers, or, as WebKit, without keys in them; or why it cannot be connected
   */
  static shared(options: TunnelOptions & { signal?: AbortSignal }): Promise<SharedTunnel>;
  /** What it is doing. */
  readonly state: TunnelState;
  /** Who this page is, as soon as that is known. */
  readonly address: Address | undefined;
  /** Where its first public service is, once it was connected. An address that is not the relay's to give is left out. */
  readonly url: string | undefined;
  /** Who the relay is, once it was connected. */
  readonly relayAddress: Address | undefined;
  /** Resolves when it is connected for the first time; rejected if it never will be. */
  readonly opened: Promise<Up>;
  /** Resolves when it has ended for good, with the reason. */
  readonly closed: Promise<Down>;
  /**
   * Offers an HTTP service under a name of 1 to 40 of `a-z`, `0-9` and single `-`, now and after every reconnection; one of the
   * same name is replaced. Resolves to its URL, or, if it is not public, to what others give to {@link Tunnel.fetch}.
   * @throws {TunnelError} `bad_service`, `bad_conflict_mode`, `foreign_url`, or the relay's no
   */
  serve(service: string, handler: Handler, options?: ServeOptions): Promise<string>;
  /** Offers a service of bytes, which has a public port if the relay gives it one. Otherwise as {@link Tunnel.serve}. */
  serveStream(service: string, handler: StreamHandler, options?: ServeOptions): Promise<string>;
  /**
   * Offers a file, or any other `Blob`: with its length, an `ETag`, ranges (one at a time) and conditions. Otherwise as
   * {@link Tunnel.serve}.
   */
  serveFile(service: string, file: Blob, options?: FileOptions): Promise<string>;
  /** Withdraws a service. What is being answered is answered to its end. */
  unserve(service: string): void;
  /**
   * Asks the HTTP service of another identity at the same relay. Cookies are not kept, nothing is cached, and `response.headers` has
   * every field that came. `gzip` and `deflate` are asked for and decoded, unless `accept-encoding` is given. A connection to a service is used again, and requests wait in turn
   * when there are more than {@link Limits.outbound}; for a tunnel that is not connected nothing waits. A response whose body is
   * longer than 64 KiB and neither read nor cancelled holds its stream.
   * @throws {TunnelError} `not_reachable` if there is no such service for this identity, `unavailable`, `too_many`,
   * `not_connected`, `stream_lost`, `bad_http`, `redirected_away`; the signal's reason once that is aborted
   */
  fetch(input: Request | Resource, init?: FetchInit): Promise<Response>;
  fetch(target: Target, path: string, init?: FetchInit): Promise<Response>;
  /**
   * Opens a WebSocket to a service of another identity. No `Origin` is sent, unless `headers` have one.
   * @throws {DOMException} as `new WebSocket` does
   * @throws {TunnelError} `bad_target`, or `not_connected` before {@link Tunnel.opened}
   */
  webSocket(
    target: Resource,
    protocols?: string | string[],
    options?: { headers?: HeadersInit },
  ): TunnelWebSocket;
  /**
   * Listens to the events of a service of another identity, and asks again when the response ends.
   * @throws {TunnelError} as {@link Tunnel.webSocket}
   */
  eventSource(target: Resource): TunnelEventSource;
  /**
   * Opens a stream of bytes to a service of another identity.
   * @throws {TunnelError} as for {@link Tunnel.fetch}
   */
  connectStream(target: Target, options?: { signal?: AbortSignal }): Promise<ByteStreamPair>;
  /** Looks whether the connection is still there, or dials at once. The page's own wake-ups do so already. */
  wake(): void;
  /**
   * Connects again what has ended: after an error that a person has mended, or after {@link Tunnel.close}. Services are offered
   * again.
   * @throws {TunnelError} why it cannot be connected
   */
  reopen(): Promise<void>;
  /** Ends the connection and everything on it, and wipes its copy of the key. `await using` does so at the end of a block. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  addEventListener<K extends keyof TunnelEventMap>(
    type: K,
    listener: (this: Tunnel, event: TunnelEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof TunnelEventMap>(
    type: K,
    listener: (this: Tunnel, event: TunnelEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A page's side of a {@link Tunnel.shared} tunnel. Its members do what those of a {@link Tunnel} do; its handlers cannot upgrade. */
export type SharedTunnel = Pick<
  Tunnel,
  | "state"
  | "address"
  | "url"
  | "relayAddress"
  | "serve"
  | "unserve"
  | "fetch"
  | "connectStream"
  | "wake"
  | "close"
  | "addEventListener"
  | "removeEventListener"
  | "dispatchEvent"
>;

/** The codes this package gives; a relay or an owner may send others. */
export type ErrorCode =
  | "bad_address"
  | "bad_conflict_mode"
  | "bad_delegation"
  | "bad_http"
  | "bad_link"
  | "bad_relay"
  | "bad_relay_address"
  | "bad_request"
  | "bad_response"
  | "bad_secret"
  | "bad_service"
  | "bad_target"
  | "closed"
  | "closed_by_relay"
  | "connection_lost"
  | "delegation_expired"
  | "delegation_not_yet"
  | "delegation_relay"
  | "delegation_revoked"
  | "delegation_scope"
  | "delegation_service"
  | "foreign_url"
  | "forgotten"
  | "module_blocked"
  | "module_missing"
  | "name_conflict"
  | "name_taken"
  | "not_a_handshake"
  | "not_allowed"
  | "no_storage"
  | "not_connected"
  | "not_extractable"
  | "not_reachable"
  | "protocol"
  | "rate_limited"
  | "redirected_away"
  | "refused"
  | "relay_changed"
  | "relay_going_away"
  | "relay_overloaded"
  | "relay_silent"
  | "relay_unproven"
  | "relay_unreachable"
  | "signer_invalid"
  | "signer_mismatch"
  | "signer_refused"
  | "signer_timeout"
  | "stream_lost"
  | "timed_out"
  | "too_many"
  | "unavailable"
  | "unsupported"
  | "visitor_gone"
  | "wrong_host"
  | "wrong_relay"
  | (string & {});

/** Every error of this package. */
export class TunnelError extends Error {
  constructor(code: ErrorCode, message: string, hint?: string);
  /** For a program. */
  readonly code: ErrorCode;
  /** What to do about it. */
  readonly hint?: string;
}

/**
 * Loads the WebAssembly module, which everything here does by itself. Called early, it saves a moment later.
 * @throws {TunnelError} `module_missing`, where a bundler has left it behind; `module_blocked` by a Content-Security-Policy
 */
export function load(module?: TunnelOptions["module"]): Promise<void>;
