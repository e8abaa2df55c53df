// The globals of the test page: the package's exports, and helpers for scripts.

import * as tunnel from "/package/index.js";

// The module's memory, which the package shows to nobody: whoever is there before it is loaded sees it.
let moduleMemory;
for (const name of ["instantiate", "instantiateStreaming"]) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (...parameters) => {
    const result = await original.apply(WebAssembly, parameters);
    moduleMemory = (result.instance ?? result).exports.memory;
    return result;
  };
}

const CHUNK = 64 * 1024;

Object.assign(window, tunnel, {
  /** Records every event of a tunnel in `tunnel.log`. */
  watch(tunnel) {
    tunnel.log = [];
    for (const kind of ["state", "up", "down", "stream", "error"]) {
      tunnel.addEventListener(kind, ({ detail }) => tunnel.log.push({ kind, ...detail, code: detail.code, text: String(detail.error ?? detail) }));
    }
    return tunnel;
  },

  /** Resolves to the detail of the next event of a kind. */
  next: (tunnel, kind) =>
    new Promise((resolve) => tunnel.addEventListener(kind, ({ detail }) => resolve(detail), { once: true })),

  /** The byte at offset `i` of every large body. */
  byteAt: (i) => (i * 31 + (i >>> 8) * 17 + (i >>> 16) * 7) & 0xff,

  bytesFrom(at, count) {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i += 1) bytes[i] = byteAt(at + i);
    return bytes;
  },

  /** A large body, produced on demand. */
  bodyOf(count) {
    let at = 0;
    return new ReadableStream({
      pull(controller) {
        const bytes = bytesFrom(at, Math.min(CHUNK, count - at));
        at += bytes.length;
        if (bytes.length > 0) controller.enqueue(bytes);
        if (at === count) controller.close();
      },
    });
  },

  /** Verifies each byte of a large body; resolves to its length. */
  async check(body) {
    let at = 0;
    for await (const chunk of body) {
      for (const byte of chunk) {
        if (byte !== byteAt(at)) throw new Error(`the byte at ${at} is wrong`);
        at += 1;
      }
    }
    return at;
  },

  /** Bytes of the module's memory, which never shrinks: the peak. */
  memory: async () => (await memoryBytes()).length,

  /** The module's memory. */
  async memoryBytes() {
    await load();
    return new Uint8Array(moduleMemory.buffer);
  },

  /** The error of a rejected promise, as an object that a test can compare. */
  rejection: (promise) =>
    promise.then(
      (value) => ({ unexpected: String(value) }),
      (error) => ({ name: error.name, code: error.code, message: error.message, hint: error.hint }),
    ),

  hex: (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join(""),
});

window.ready = true;
