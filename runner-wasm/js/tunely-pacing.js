// When the bytes of one connection are sent to a server of Tunely, and in how large messages.
//
// Such a server keeps 64 messages that a visitor has not read, whatever their size, cuts the visitor off beyond, and says nothing
// before. So the messages are counted that a slow visitor would still have ahead, and the more there are, the longer the next one
// waits for more bytes. The numbers are those of `send_pacing` in hvym-tunnel-compat. All times are milliseconds.

/** The rate at which the slowest visitor is assumed to read, bytes a second: 2 Mbit/s. */
const ASSUMED_RATE = 256 * 1024;
/** So many messages ahead are sent at once, small or not: a quarter of the server's queue. */
const PROMPT_MESSAGES = 16;
/** For each message ahead beyond those, the next one waits so much longer for more bytes, unless it is full. */
const WAIT_STEP = 5;
/** With so many ahead, close to the 64 that the server keeps, full messages wait too. */
const MAX_MESSAGES = 60;
/** What is sent then, bytes a second. */
const PACED_RATE = 16 * 1024 * 1024;
/** The most bytes of one message: 60 of them are 240 MiB, which is what the server may have to hold; it takes 16 MiB in one. */
export const MAX_DATA = 4 * 1024 * 1024;
/** The most bytes of one message on a link that sends little: fair to its other connections. */
export const MIN_DATA = 32 * 1024;
/** The time over which a link's bytes are counted, and the longest that one message may take. */
const RATE_WINDOW = 500;

export class SendPacing {
  /** When each of the messages has been read at the assumed rate. */
  #readAt = [];
  #sentAt = 0;
  #sentBytes = 0;

  /** How long the next message has to wait; `isFull`: it is as large as a message may be. */
  delay(isFull, now) {
    const read = this.#readAt.findIndex((at) => at > now);
    this.#readAt.splice(0, read < 0 ? this.#readAt.length : read);
    const ahead = this.#readAt.length;
    const wait = WAIT_STEP * Math.max(ahead + 1 - PROMPT_MESSAGES, 0);
    const paced = Math.max(wait, (this.#sentBytes * 1000) / PACED_RATE);
    if (ahead >= MAX_MESSAGES) return Math.max(this.#sentAt + paced - now, 0);
    if (ahead >= PROMPT_MESSAGES && !isFull) return Math.max(this.#sentAt + wait - now, 0);
    return 0;
  }

  handleSent(bytes, now) {
    const begins = Math.max(this.#readAt.at(-1) ?? now, now);
    this.#readAt.push(begins + (bytes * 1000) / ASSUMED_RATE);
    [this.#sentAt, this.#sentBytes] = [now, bytes];
  }
}

/** How fast a link sends. */
export class SentRate {
  #since = 0;
  #current = 0;
  /** Bytes in one window, before that. */
  #before = 0;

  handleSent(bytes, now) {
    const elapsed = now - this.#since;
    if (elapsed >= RATE_WINDOW) {
      this.#before = (this.#current * RATE_WINDOW) / elapsed;
      [this.#since, this.#current] = [now, 0];
    }
    this.#current += bytes;
  }

  /** The most bytes of one message: what comes behind it, and the answers to the server's pings, wait no longer than a window. */
  get maxData() {
    const rate = Math.max(this.#before, this.#current / 2);
    return Math.floor(Math.min(Math.max(rate, MIN_DATA), MAX_DATA));
  }
}
