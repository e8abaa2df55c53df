import { TunnelError } from "./index.js";

export { TunnelError };

/** The options of {@link TunnelClient}, with the names of Tunely's client. */
export interface TunnelClientConfig {
  /** The server: `ws://server/ws/tunnel`, or without a path. */
  serverUrl: string;
  /** The token of the tunnel: `tun_..`. */
  token: string;
  /** The local service: `http://localhost:8080`, `https://..` or `tcp://localhost:22`. */
  targetUrl: string;
  /**
   * How long to wait before another attempt, milliseconds; 5000 if left out. It doubles with each attempt in a row that fails, up to a
   * minute, or to what is given here.
   */
  reconnectInterval?: number;
  /** After how many failed attempts in a row {@link TunnelClient.run} returns; never if 0, or left out. */
  maxReconnectAttempts?: number;
  /** How long the local service may take to answer a request that says no time itself, milliseconds; 300000 if left out. */
  requestTimeout?: number;
  /** Whether to take the place of a client that is connected with the token. */
  force?: boolean;
}

/** A request that passes. Where it is carried as bytes of a connection, there is neither `body` nor `timeout`. */
export interface TunnelRequest {
  type: "request";
  id: string;
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | null;
  timeout?: number | null;
}

/** What a {@link TunnelClient} tells. */
export interface TunnelClientEvents {
  /** It is connected; `domain` is what the server calls the tunnel. */
  onConnect?: (domain: string) => void;
  /** A connection was lost. */
  onDisconnect?: () => void;
  /** Set before {@link TunnelClient.run}, it hears of each request when its head has arrived. */
  onRequest?: (request: TunnelRequest) => void;
  /** Why an attempt failed or a connection ended: a {@link TunnelError}; or what another callback threw. */
  onError?: (error: Error) => void;
}

/** Tunely's client: one local service at one server. */
export class TunnelClient {
  /** @throws {TypeError} a URL of another kind */
  constructor(config: TunnelClientConfig);
  readonly isConnected: boolean;
  /** What the server calls the tunnel; `null` while it is not connected. */
  readonly tunnelDomain: string | null;
  /** Sets what is called at an event. */
  on<K extends keyof TunnelClientEvents>(event: K, callback: TunnelClientEvents[K]): void;
  /**
   * Connects, and again after every loss, until {@link TunnelClient.stop}.
   * @throws {TunnelError} `auth_failed`: the server says that the token is wrong
   */
  run(): Promise<void>;
  /** Ends {@link TunnelClient.run}, and every connection. */
  stop(): void;
}

/** Runs a client with these options. */
export function runTunnelClient(serverUrl: string, token: string, targetUrl: string, reconnectInterval?: number): Promise<void>;
