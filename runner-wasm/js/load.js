// Loads the WebAssembly module once.

import init from "./runner.js";

let loading;

export function load(module) {
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).catch((error) => {
    // A failed download must not prevent the next attempt.
    loading = undefined;
    throw error;
  });
  return loading;
}
