// SHA-1 (RFC 3174), which the handshake of WebSockets asks for. `crypto.subtle` is missing on pages of plain HTTP.

/** The digest of `message`, 20 bytes. */
export function sha1(message) {
  const padded = new Uint8Array((((message.length + 8) >> 6) + 1) << 6);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, message.length * 8);
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  const words = new Uint32Array(80);
  const rotate = (word, bits) => (word << bits) | (word >>> (32 - bits));
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i += 1) words[i] = view.getUint32(block + 4 * i);
    for (let i = 16; i < 80; i += 1) {
      words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    let [a, b, c, d, e] = state;
    for (let i = 0; i < 80; i += 1) {
      let round = [(b & c) | (~b & d), 0x5a827999];
      if (i >= 60) round = [b ^ c ^ d, 0xca62c1d6];
      else if (i >= 40) round = [(b & c) | (b & d) | (c & d), 0x8f1bbcdc];
      else if (i >= 20) round = [b ^ c ^ d, 0x6ed9eba1];
      [a, b, c, d, e] = [(rotate(a, 5) + round[0] + e + words[i] + round[1]) | 0, a, rotate(b, 30), c, d];
    }
    [a, b, c, d, e].forEach((word, i) => (state[i] = (state[i] + word) | 0));
  }
  const digest = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => digest.setUint32(4 * i, word));
  return new Uint8Array(digest.buffer);
}
