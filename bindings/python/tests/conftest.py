"""What the tests share: a relay, a local service, and visitors, all on this machine."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

import hvym_tunnel


class Origin(http.server.BaseHTTPRequestHandler):
    """A local service: says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if self.path == "/api/stream":
            return self.stream()
        said = json.dumps({"method": self.command, "path": self.path, "body": body.decode("latin-1")}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def stream(self):
        """Three server-sent events."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number in range(3):
            self.wfile.write(b"data: %d\n\n" % number)
            self.wfile.flush()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def origin():
    """The port of a local service."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def relay():
    with hvym_tunnel.Relay() as relay:
        yield relay
