// The same as index.js, with the WebAssembly module in the script: for bundlers that leave the file behind.

import { MODULE } from "./inline-module.js";
import { provide } from "./load.js";

provide(async () => {
  const bytes = Uint8Array.from(atob(MODULE), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
});

export * from "./index.js";
