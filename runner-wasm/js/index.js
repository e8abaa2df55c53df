// The public interface of the package, described by index.d.ts.

export { TunnelError } from "./error.js";
export { Identity } from "./identity.js";
export { load } from "./load.js";
export { Tunnel } from "./tunnel.js";
