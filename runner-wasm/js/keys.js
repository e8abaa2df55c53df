// The part of the package that keeps keys in the browser.

export { linkedKey, newKey } from "./browser-key.js";
export { drop, keep, keepFirst, kept } from "./store.js";
