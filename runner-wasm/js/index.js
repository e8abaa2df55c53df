// What a page imports.

export { TunnelError } from "./error.js";
export { Identity } from "./identity.js";
export { load } from "./load.js";
export { Tunnel } from "./tunnel.js";
