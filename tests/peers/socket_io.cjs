// A chat by Socket.IO, with its own client in the page. Prints its port. The argument is a folder with its package.

const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const { Server } = createRequire(`${process.argv[2]}/`)("socket.io");

const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>chat</title><script src="/socket.io/socket.io.js"></script></head>
<body><script>
  window.heard = [];
  window.connections = 0;
  window.socket = io();
  socket.on("connect", () => { connections += 1; });
  socket.on("said", (text) => heard.push(text));
</script></body></html>`;

const server = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(PAGE));
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("say", (text, acknowledge) => {
    io.emit("said", text);
    acknowledge(text.length);
  });
  socket.on("sum", (bytes, acknowledge) => acknowledge(bytes.reduce((sum, byte) => sum + byte, 0), bytes));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
