// A stream of bytes as two Web streams.

import { bytesOf, readableFrom } from "./http.js";

/**
 * The halves of the stream of `wire`. `end` is called once: when both are over, or when one of them is torn and the other
 * with it. `signal` says why, if it is aborted.
 */
export function pairOf(wire, end, signal) {
  let halves = 2;
  const finishHalf = () => {
    halves -= 1;
    if (halves === 0) end();
  };
  const tear = () => {
    if (halves > 0) end();
    halves = 0;
  };
  const orTear = async (work) => {
    try {
      return await work();
    } catch (error) {
      tear();
      throw signal?.aborted ? signal.reason : error;
    }
  };
  const read = () =>
    orTear(async () => {
      const chunk = await wire.read();
      if (chunk === undefined) finishHalf();
      return chunk;
    });
  const write = (chunk) =>
    orTear(() => {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : bytesOf(chunk);
      return wire.write(bytes, (stream, piece) => stream.send(piece));
    });
  const close = () =>
    orTear(() => {
      wire.stream.finish();
      finishHalf();
    });
  return {
    readable: readableFrom(read, { onCancel: tear }),
    writable: new WritableStream({ write, close, abort: tear }),
  };
}
