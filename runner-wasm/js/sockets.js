// Writing to sockets of Node.js, as fast as they take it.

/** Whoever reads or writes a socket hears of its errors; without this, one between two reads would end the program. */
export const ignoreErrors = (socket) => socket.on("error", () => {});

/** Writes `chunk`; resolves when there is room for more, and rejects if there never will be. */
export async function write(socket, chunk) {
  if (!socket.destroyed && socket.write(chunk)) return;
  if (!socket.destroyed) await changed(socket, "drain");
  if (socket.destroyed) throw new Error("the connection is closed");
}

/** Resolves at `event` of `socket`, or when that is closed. */
function changed(socket, event) {
  return new Promise((resolve) => {
    const done = () => {
      socket.off(event, done).off("close", done);
      resolve();
    };
    socket.on(event, done).on("close", done);
  });
}

/** Writes all chunks to `socket`, and ends it. */
export async function copy(chunks, socket) {
  for await (const chunk of chunks) await write(socket, chunk);
  socket.end();
}
