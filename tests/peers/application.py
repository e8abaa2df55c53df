#!/usr/bin/env python3
"""A small web application, as people run them for themselves, on Python's own http.server. Prints its port first.

  GET  /                the page, with a policy that allows its own scripts alone; sets `session` (HttpOnly) and `_xsrf`
  GET  /app.js          its script: shows what `document.cookie` is
  *    /mirror...       the request as JSON: method, target, fields, body
  GET  /events          two server-sent events, then the end
  GET  /listen          a server-sent event for each text that was said, after `Last-Event-ID`, for ever
  POST /say             says the text of the body to all who listen
  GET  /away            a redirect to /mirror?redirected
  GET  /file            a mebibyte, or the range of it that was asked for; with ?save as an attachment
  POST /upload          {"bytes": n, "sha256": ...} of the body, with a length or in chunks
  GET  /socket          a WebSocket that sends back what it gets, by the protocol `echo` if that is offered
"""

import base64
import hashlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>loading</title><script src="/app.js"></script></head>
<body><h1>A private application</h1><a id="away" href="/away">away</a><a id="save" href="/file?save">save</a></body></html>
"""
SCRIPT = b"""
window.mode = document.compatMode;
window.first = document.cookie;
document.title = "application";
if (parent !== window) parent.postMessage("application", "*");
"""
SAID = []
CHANGED = threading.Condition()
FILE = bytes((i * 31 + (i >> 8) * 17) & 0xFF for i in range(1024 * 1024))
POLICY = ("Content-Security-Policy", "default-src 'self'; script-src 'self'")


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def content(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body, *fields, status=200):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/":
            cookies = [("Set-Cookie", "session=secret; HttpOnly; Path=/"), ("Set-Cookie", "_xsrf=token; Path=/")]
            self.answer(PAGE, ("Content-Type", "text/html; charset=utf-8"), POLICY, *cookies)
        elif path == "/app.js":
            self.answer(SCRIPT, ("Content-Type", "text/javascript"))
        elif path == "/mirror":
            self.mirror()
        elif path == "/events":
            self.answer(b"id: 1\ndata: one\n\nid: 2\ndata: two\n\n", ("Content-Type", "text/event-stream"))
        elif path == "/listen":
            self.listen()
        elif path == "/away":
            self.answer(b"", ("Location", "/mirror?redirected"), status=302)
        elif path == "/file":
            self.file()
        elif path == "/socket":
            self.socket()
        else:
            self.send_error(404)

    def do_POST(self):
        if self.path == "/upload":
            body = self.content()
            self.answer(json.dumps({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode())
        elif self.path == "/say":
            with CHANGED:
                SAID.append(self.content().decode())
                CHANGED.notify_all()
            self.answer(b"")
        else:
            self.mirror()

    do_PUT = do_DELETE = do_POST

    def mirror(self):
        fields = {name.lower(): value for name, value in self.headers.items()}
        said = {"method": self.command, "target": self.path, "fields": fields, "body": self.content().decode()}
        self.answer(json.dumps(said).encode(), ("Content-Type", "application/json"))

    def listen(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 50\n\n")
        at = int(self.headers.get("Last-Event-ID") or 0)
        while True:
            with CHANGED:
                CHANGED.wait_for(lambda: len(SAID) > at)
                texts = SAID[at:]
            for text in texts:
                at += 1
                self.wfile.write(f"id: {at}\ndata: {text}\n\n".encode())

    def file(self):
        more = [("Content-Disposition", 'attachment; filename="saved.bin"')] if "save" in self.path else []
        wanted = self.headers.get("Range")
        if wanted is None:
            return self.answer(FILE, ("Accept-Ranges", "bytes"), *more)
        first, last = (int(text) for text in wanted.removeprefix("bytes=").split("-"))
        part = ("Content-Range", f"bytes {first}-{last}/{len(FILE)}")
        self.answer(FILE[first : last + 1], part, *more, status=206)

    def socket(self):
        accept = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + GUID).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        if "echo" in self.headers.get("Sec-WebSocket-Protocol", ""):
            self.send_header("Sec-WebSocket-Protocol", "echo")
        self.end_headers()
        self.close_connection = True
        self.frame(1, json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())
        while True:
            first, second = self.rfile.read(2)
            length = second & 127
            if length == 126:
                [length] = struct.unpack(">H", self.rfile.read(2))
            elif length == 127:
                [length] = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            body = self.rfile.read(length)
            key = int.from_bytes((mask * (length // 4 + 1))[:length])
            body = (int.from_bytes(body) ^ key).to_bytes(length)
            self.frame(first & 15, body)
            if first & 15 == 8:
                return

    def frame(self, opcode, body):
        if len(body) < 126:
            head = struct.pack(">BB", 128 | opcode, len(body))
        elif len(body) < 65536:
            head = struct.pack(">BBH", 128 | opcode, 126, len(body))
        else:
            head = struct.pack(">BBQ", 128 | opcode, 127, len(body))
        self.wfile.write(head + body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    print(server.server_port, flush=True)
    server.serve_forever()
