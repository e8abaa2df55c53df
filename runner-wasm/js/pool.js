// Streams to the services of others: kept for the next request to the same service, limited in number, and waited for in
// turn. The limits in time are those of a relay's own connections to services (`hvym_proxy::pool`).

import { TunnelError } from "./error.js";
import { Wire } from "./wire.js";

/** Requests that wait for a stream. More are refused: each holds what it is going to send. */
const MAX_WAITING = 1024;
/** How long a connection is kept idle, unless its service says less. Milliseconds, as all here. */
const IDLE_LIMIT = 30_000;
/** Idle time up to which a connection is used for requests that cannot be repeated: it may be closing after that. */
const JUST_USED = 1000;
/** Subtracted from the time that a service announces, for the way. */
const MARGIN = 1000;

export class Pool {
  #runner;
  #limit;
  #open = 0;
  /** Idle connections, the oldest first. */
  #idle = [];
  #waiting = [];
  #rateTimer;
  #idleTimer;

  constructor(runner, limit) {
    this.#runner = runner;
    this.#limit = limit;
  }

  /**
   * A connection to a service, which has to be given to `release` or `discard`. One that was used before is given to a
   * request that can be repeated, or if it was used a moment ago; never if `isFresh`.
   */
  acquire({ address, service }, { isRepeatable = false, isFresh = false, signal } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#waiting.length >= MAX_WAITING) {
        throw new TunnelError("too_many", `${MAX_WAITING} requests wait for a stream already`);
      }
      const settle = (settled, value) => {
        signal?.removeEventListener("abort", abort);
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        settled(value);
      };
      const abort = () => settle(reject, signal.reason);
      const entry = {
        address,
        service,
        isRepeatable,
        isFresh,
        resolve: (lease) => settle(resolve, lease),
        reject: (error) => settle(reject, error),
      };
      signal?.addEventListener("abort", abort);
      this.#waiting.push(entry);
      this.serve();
    });
  }

  /** Keeps the connection if another request may follow on it; `keepAlive` is what its service said, in seconds. */
  release(lease, keepAlive) {
    if (lease.isOver) return;
    lease.isOver = true;
    const keep = Math.min(IDLE_LIMIT, keepAlive === undefined ? IDLE_LIMIT : keepAlive * 1000 - MARGIN);
    if (keep > 0 && lease.wire.stream.isReusable()) {
      const now = performance.now();
      this.#idle.push({ name: lease.name, wire: lease.wire, since: now, until: now + keep });
    } else {
      this.#close(lease.wire);
    }
    this.serve();
    this.#sweep();
  }

  /** Ends the connection after what was sent. */
  end(lease) {
    if (lease.isOver) return;
    lease.isOver = true;
    this.#close(lease.wire);
    this.serve();
  }

  /** Ends the connection: an exchange that is not over is reset. */
  discard(lease) {
    if (lease.isOver) return;
    lease.isOver = true;
    this.#open -= 1;
    lease.wire.close();
    this.serve();
  }

  /** The link is lost, and every stream with it. */
  clear() {
    for (const { wire } of this.#idle.splice(0)) this.#close(wire);
    clearTimeout(this.#idleTimer);
    this.serve();
  }

  /** Ends a connection on which nothing is under way. */
  #close(wire) {
    this.#open -= 1;
    try {
      wire.stream.finish();
    } catch {
      // It is lost already.
    }
    wire.close();
  }

  /** Gives connections to those who wait, as far as there are any. */
  serve() {
    clearTimeout(this.#rateTimer);
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0];
      try {
        const lease = this.#take(first);
        if (lease === undefined) return;
        first.resolve(lease);
      } catch (error) {
        first.reject(error);
      }
    }
  }

  /** A connection for the first who waits; `undefined` if it has to go on waiting. */
  #take({ address, service, isRepeatable, isFresh }) {
    const name = `${address}/${service}`;
    const wire = isFresh ? undefined : this.#takeIdle(name, isRepeatable);
    if (wire !== undefined) return { name, wire, isReused: true, isOver: false };
    if (this.#open >= this.#limit) {
      const oldest = this.#idle.shift();
      if (oldest === undefined) return undefined;
      this.#close(oldest.wire);
    }
    const delay = this.#runner.openDelay;
    if (delay > 0) {
      this.#rateTimer = setTimeout(() => this.serve(), delay);
      return undefined;
    }
    try {
      const stream = this.#runner.open(address, service);
      this.#open += 1;
      return { name, wire: new Wire(stream), isReused: false, isOver: false };
    } catch (error) {
      // The relay allows fewer than the limit, or what was closed is not over there yet: one that ends makes room.
      if (error.code === "too_many" && this.#open > 0) return undefined;
      throw error;
    }
  }

  /** The connection that was used last. */
  #takeIdle(name, isRepeatable) {
    const now = performance.now();
    for (let at = this.#idle.length - 1; at >= 0; at -= 1) {
      const idle = this.#idle[at];
      if (idle.name !== name || !(isRepeatable || now - idle.since <= JUST_USED)) continue;
      this.#idle.splice(at, 1);
      if (now < idle.until && idle.wire.stream.isReusable()) return idle.wire;
      this.#close(idle.wire);
    }
    return undefined;
  }

  /** Closes connections that were idle for too long. */
  #sweep() {
    clearTimeout(this.#idleTimer);
    const now = performance.now();
    this.#idle = this.#idle.filter(({ until, wire }) => until > now || this.#close(wire));
    if (this.#idle.length === 0) return;
    const next = Math.min(...this.#idle.map(({ until }) => until));
    this.#idleTimer = setTimeout(() => this.#sweep(), next - now);
  }
}
