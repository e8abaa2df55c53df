// The public interface of the package, described by index.d.ts.

export { TunnelError } from "./error.js";
export { load } from "./load.js";
export { Identity, Tunnel } from "./page.js";
