// Loads the module once, whoever asks first.

import init from "./runner.js";

let loading;

export function load(module) {
  loading ??= init(module === undefined ? undefined : { module_or_path: module }).catch((error) => {
    // The next attempt may have a network.
    loading = undefined;
    throw error;
  });
  return loading;
}
