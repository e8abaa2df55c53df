// The WebSocket to a relay, for runtimes that have no class of their own: Node.js before version 22.

import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { request as requestByTls } from "node:https";

import { ignoreErrors, write } from "./sockets.js";
import { acceptOf, pendingSocket } from "./websocket.js";

export class NodeSocket {
  /** Gives the socket of websocket.js; the module has to be loaded. */
  constructor(url) {
    const place = new URL(url);
    const { socket, open, fail } = pendingSocket(place.href);
    place.protocol = place.protocol.replace("ws", "http");
    const key = randomBytes(16).toString("base64");
    const fields = { "sec-websocket-version": "13", "sec-websocket-key": key };
    const options = { agent: false, headers: { connection: "Upgrade", upgrade: "websocket", ...fields } };
    const handshake = (place.protocol === "https:" ? requestByTls : request)(place, options);
    socket.addEventListener("close", () => handshake.destroy(), { once: true });
    handshake.on("error", (error) => fail(error.message));
    handshake.once("response", ({ statusCode }) => fail(`the server answers with ${statusCode}`));
    handshake.once("upgrade", ({ headers }, connection, head) => {
      ignoreErrors(connection);
      if (head.length > 0) connection.unshift(head);
      if (headers["sec-websocket-accept"] === acceptOf(key)) return open(over(connection), true, "");
      connection.destroy();
      return fail("the server knows no WebSockets");
    });
    handshake.end();
    return socket;
  }
}

/** A connection as websocket.js takes it. */
function over(connection) {
  connection.setNoDelay(true);
  const chunks = connection[Symbol.asyncIterator]();
  return {
    read: async () => (await chunks.next()).value,
    write: (bytes) => write(connection, bytes),
    close: (isOrderly) => (isOrderly ? connection.destroySoon() : connection.destroy()),
  };
}
