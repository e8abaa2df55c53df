// Loads the WebAssembly module once. Nobody gets its exports, because its memory is among them, and keys are in there.

import init from "./runner.js";

let loading;

export function load(module) {
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).then(
    () => {},
    (error) => {
      // A failed download must not prevent the next attempt.
      loading = undefined;
      throw error;
    },
  );
  return loading;
}
