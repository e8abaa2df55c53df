// A local service on Node.js. Prints its port on the first line of stdout.
//
//   *    /continue   says 100 when it is asked to, then sends back the body
//   *    /refuse     answers 417 instead of 100
//   *    /duplex     sends back each piece of the body as it comes, and as trailers: its digest, and the trailers it got
//   GET  /lines      one JSON object a line, the next one when somebody asks for /next
//   GET  /events     the same as server-sent events
//   GET  /gather?COUNT&N   answers N, but only when so many have asked
//   *    /next       one line more for everybody who listens; says how many these are
//   *    /end        ends them all

import { createHash } from "node:crypto";
import { createServer } from "node:http";

const listeners = new Set();
let count = 0;

function duplex(request, response) {
  const digest = createHash("sha256");
  response.writeHead(200, { Trailer: "X-Sha256, X-Seen" });
  request.on("data", (piece) => {
    digest.update(piece);
    if (!response.write(piece)) {
      request.pause();
      response.once("drain", () => request.resume());
    }
  });
  request.on("end", () => {
    response.addTrailers({ "X-Sha256": digest.digest("hex"), "X-Seen": JSON.stringify(request.trailers) });
    response.end();
  });
}

function listen(response, kind, line) {
  response.writeHead(200, { "Content-Type": kind, "Cache-Control": "no-cache" });
  response.flushHeaders();
  listeners.add({ tell: (n) => response.write(line(n)), end: () => response.end() });
}

const waiting = [];

function gather(request, response) {
  const [count, n] = request.url.split("?")[1].split("&");
  waiting.push(() => response.end(n));
  if (waiting.length >= Number(count)) {
    waiting.splice(0).forEach((answer) => answer());
  }
}

const routes = {
  "/gather": gather,
  "/continue": (request, response) => request.pipe(response),
  "/duplex": duplex,
  "/lines": (_, response) => listen(response, "application/x-ndjson", (n) => `{"n":${n}}\n`),
  "/events": (_, response) => listen(response, "text/event-stream", (n) => `id: ${n}\ndata: event ${n}\n\n`),
  "/next": (_, response) => {
    count += listeners.size > 0 ? 1 : 0;
    listeners.forEach((listener) => listener.tell(count));
    response.end(String(listeners.size));
  },
  "/end": (_, response) => {
    listeners.forEach((listener) => listener.end());
    listeners.clear();
    response.end();
  },
};

function serve(request, response) {
  const route = routes[request.url.split("?")[0]];
  if (route) {
    route(request, response);
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer(serve);
server.on("checkContinue", (request, response) => {
  if (request.url === "/refuse") {
    response.writeHead(417).end("not this one");
  } else {
    response.writeContinue();
    serve(request, response);
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
