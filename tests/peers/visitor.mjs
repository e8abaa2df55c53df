// A visitor on Node.js. The arguments are a port of this machine, the host to ask for there, and what to do:
//
//   duplex BYTES   sends that much and trailers to /duplex, and reads what comes back meanwhile
//
// Prints what it found as one line of JSON.

import { createHash } from "node:crypto";
import { request } from "node:http";

const [port, host, what, bytes] = process.argv.slice(2);

function duplex() {
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let early = 0;
  let left = Number(bytes);
  const question = request({
    host: "127.0.0.1",
    port,
    path: "/duplex",
    method: "POST",
    headers: { Host: host, Trailer: "X-Asked", TE: "trailers", "Transfer-Encoding": "chunked" },
  });
  question.on("response", (response) => {
    response.on("data", (piece) => {
      received.update(piece);
      early += left > 0 ? piece.length : 0;
    });
    response.on("end", () => {
      const same = sent.digest("hex") === received.digest("hex");
      const { statusCode: status, trailers, complete } = response;
      console.log(JSON.stringify({ status, same, early, complete, trailers }));
    });
  });
  const send = () => {
    while (left > 0) {
      const piece = Buffer.alloc(Math.min(left, 50_000), left % 251);
      left -= piece.length;
      sent.update(piece);
      if (!question.write(piece)) {
        question.once("drain", send);
        return;
      }
    }
    question.addTrailers({ "X-Asked": "yes" });
    question.end();
  };
  send();
}

({ duplex })[what]();
