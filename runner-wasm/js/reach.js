// The part of the package that reaches services of others.

export { TunnelEventSource } from "./eventsource.js";
export { fetchFrom } from "./fetch.js";
export { Pool } from "./pool.js";
export { pairOf } from "./streams.js";
export { connectWebSocket } from "./websocket.js";
