// A visitor on Node.js. The arguments are a port of this machine, the host to ask for there, and what to do:
//
//   duplex BYTES   sends that much and trailers to /duplex, and reads what comes back meanwhile
//   gather COUNT   asks for /gather so many times at once, on one HTTP/2 connection
//
// Prints what it found as one line of JSON.

import { createHash } from "node:crypto";
import { request } from "node:http";
import { connect } from "node:http2";

const [port, host, what, number] = process.argv.slice(2);

function duplex() {
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let early = 0;
  let left = Number(number);
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

function gather() {
  const count = Number(number);
  const session = connect(`http://127.0.0.1:${port}`);
  const bodies = [];
  for (let n = 0; n < count; n += 1) {
    const stream = session.request({ ":authority": host, ":path": `/gather?${count}&${n}` });
    let body = "";
    stream.setEncoding("utf8");
    stream.on("data", (piece) => (body += piece));
    stream.on("end", () => {
      bodies[n] = body;
      if (Object.keys(bodies).length === count) {
        console.log(JSON.stringify({ right: bodies.filter((body, n) => body === String(n)).length }));
        session.close();
      }
    });
  }
}

({ duplex, gather })[what]();
