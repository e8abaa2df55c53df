#!/usr/bin/env python3
"""A local service as people write them, on Python's own http.server. Prints its port on the first line of stdout;
with a path as its argument it listens on a Unix socket there, and prints that.

  GET  /gzip            a compressed text, its length in X-Length
  GET  /cookies         two Set-Cookie fields
  GET  /download?bytes  that many bytes, their digest in X-Sha256
  POST /upload          {"bytes": n, "sha256": ...} of the body
  POST /echo            the body, as it came
  GET  /events          server-sent events; each is what somebody posted to /publish, until an empty one
  POST /publish         one event more
  *    /mirror...       the request as JSON: method, target, fields in their order
"""

import gzip
import hashlib
import json
import queue
import random
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EVENTS = queue.Queue()


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def content(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, body, *fields):
        self.send_response(200)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path.startswith("/mirror"):
            self.mirror()
        elif url.path == "/gzip":
            text = b"what is compressed here stays compressed\n" * 1000
            body = gzip.compress(text, mtime=0)
            self.answer(body, ("Content-Encoding", "gzip"), ("ETag", '"g"'), ("X-Length", str(len(text))))
        elif url.path == "/cookies":
            self.answer(b"", ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT"))
        elif url.path == "/download":
            body = random.Random(7).randbytes(int(parse_qs(url.query)["bytes"][0]))
            self.answer(body, ("X-Sha256", hashlib.sha256(body).hexdigest()))
        elif url.path == "/events":
            self.events()
        else:
            self.send_error(404)

    def do_POST(self):
        if self.path.startswith("/mirror"):
            self.mirror()
        elif self.path == "/echo":
            self.answer(self.content(), ("Content-Type", "application/octet-stream"))
        elif self.path == "/upload":
            body = self.content()
            self.answer(json.dumps({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode())
        elif self.path == "/publish":
            EVENTS.put(self.content())
            self.answer(b"")
        else:
            self.send_error(404)

    def mirror(self):
        fields = [[name, value] for name, value in self.headers.items()]
        self.answer(json.dumps({"method": self.command, "target": self.path, "fields": fields}).encode())

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while event := EVENTS.get():
            self.wfile.write(b"data: " + event + b"\n\n")
            self.wfile.flush()
        self.close_connection = True


class SocketServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    if sys.argv[1:]:
        server = SocketServer(sys.argv[1], Service)
        print(sys.argv[1], flush=True)
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        print(server.server_port, flush=True)
    server.serve_forever()
