// Parts of Tunely's client that know no network: which requests it sees in bytes, and when it sends them.

import assert from "node:assert/strict";

import { RequestObserver } from "./node_modules/hvym-tunnel/tunely-observer.js";
import { MAX_DATA, MIN_DATA, SendPacing, SentRate } from "./node_modules/hvym-tunnel/tunely-pacing.js";

/** What is told of `text` when it comes in these pieces. */
function told(text, lengths) {
  const seen = [];
  const observer = new RequestObserver(({ method, path, headers }) => seen.push([method, path, headers.a]));
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0, next = 0; at < bytes.length; next += 1) {
    const length = lengths[next % lengths.length];
    observer.handle(bytes.subarray(at, at + length));
    at += length;
  }
  return seen;
}

const chunked = "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\nB\r\n\r\n\r\n HTTP/1\r\n0\r\nTrailer: GET /no HTTP/1.1\r\n\r\n";
const requests = [
  ["GET /one HTTP/1.1\r\nA: 1\r\na:  2 \r\n\r\n", ["GET", "/one", "1, 2"]],
  ["POST /two?x HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n", ["POST", "/two?x", undefined]],
  [chunked, ["POST", "/c", undefined]],
  ["GET /last HTTP/1.0\r\na: b\r\n\r\n", ["GET", "/last", "b"]],
];
const text = requests.map(([bytes]) => bytes).join("");
const expected = requests.map(([, request]) => request);
for (let length = 1; length <= text.length; length += 1) assert.deepEqual(told(text, [length]), expected, `${length}`);
assert.deepEqual(told(text, [3, 1, 7]), expected);

// What is not HTTP, or no longer, is passed over; so is a head that is too long.
assert.deepEqual(told("\x16\x03\x01 TLS\r\n\r\nGET / HTTP/1.1\r\n\r\n", [4]), []);
const upgrade = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
assert.deepEqual(told(`${upgrade}GET /no HTTP/1.1\r\n\r\n`, [9]), [["GET", "/ws", undefined]]);
const withField = (length) => `GET / HTTP/1.1\r\na: ${"x".repeat(length)}\r\n\r\n`;
const fits = 16 * 1024 - withField(0).length + "\r\n\r\n".length;
for (const pieces of [[1000], [100_000]]) {
  assert.equal(told(withField(fits - 1), pieces).length, 1);
  assert.equal(told(withField(fits), pieces).length, 1);
  assert.equal(told(withField(fits + 1), pieces).length, 0);
}
for (const length of ["-1", "1e3x", "9".repeat(20)]) {
  assert.equal(told(`GET / HTTP/1.1\r\nContent-Length: ${length}\r\n\r\nGET / HTTP/1.1\r\n\r\n`, [50]).length, 1, length);
}

// Little is sent at once, however many messages.
const prompt = new SendPacing();
for (let now = 0; now < 1000; now += 10) {
  assert.equal(prompt.delay(false, now), 0);
  prompt.handleSent(100, now);
}
// Sixteen messages that nobody reads go at once, the next ones wait ever longer for more bytes, and full ones do not.
const bulk = new SendPacing();
for (let sent = 0; sent < 16; sent += 1) {
  assert.equal(bulk.delay(false, 0), 0);
  bulk.handleSent(MAX_DATA, 0);
}
assert.equal(bulk.delay(false, 0), 5);
assert.equal(bulk.delay(false, 5), 0);
assert.equal(bulk.delay(true, 0), 0);
while (bulk.delay(true, 0) === 0) bulk.handleSent(MAX_DATA, 0);
assert.equal(bulk.delay(true, 0), 250);
assert.equal(bulk.delay(true, 250), 0);
// A download of 200 MiB that nobody reads stays below the 64 messages that a server keeps.
const unread = new SendPacing();
let [now, messages] = [0, 0];
for (let left = 200 * 1024 * 1024; left > 0; messages += 1) {
  now += unread.delay(true, now);
  unread.handleSent(MAX_DATA, now);
  left -= MAX_DATA;
}
assert.ok(messages < 64, `${messages}`);

const rate = new SentRate();
assert.equal(rate.maxData, MIN_DATA);
for (let at = 0; at < 1000; at += 10) rate.handleSent(20 * 1024, at);
assert.ok(rate.maxData > 900 * 1024 && rate.maxData < 1100 * 1024, `${rate.maxData}`);
for (let at = 1000; at < 2000; at += 10) rate.handleSent(MAX_DATA, at);
assert.equal(rate.maxData, MAX_DATA);
rate.handleSent(1, 60_000);
rate.handleSent(1, 61_000);
assert.equal(rate.maxData, MIN_DATA);
