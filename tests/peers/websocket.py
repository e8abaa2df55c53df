#!/usr/bin/env python3
"""WebSockets by the PyPI package websockets.

  serve                        a service that sends back what it gets; prints its port first, then how each connection ended.
                               "close CODE REASON" makes it close with that, "drop" makes it go without a close
  visit PORT HOST COMMAND...   a visitor, who does one thing after the other and prints one line of JSON for each

Commands: {"open": {"subprotocols": [...], "compression": null or "deflate", "path": ...}}, {"text": ...} and {"binary": size} are
sent and the answer awaited, {"ping": ...} awaits its pong, {"close": [code, reason]}, {"wait": true} awaits the other's end.
"""

import json
import os
import socket
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve


def ended(error):
    said = lambda close: [close.code, close.reason] if close else None
    return {"received": said(error.rcvd), "sent": said(error.sent)}


def service(socket):
    try:
        for message in socket:
            if message == "drop":
                socket.socket.shutdown(2)
            elif isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                socket.close(int(code), reason)
            else:
                socket.send(message)
        error = socket.protocol.close_exc
    except ConnectionClosed as caught:
        error = caught
    print(json.dumps(ended(error)), flush=True)


def visit(port, host, commands):
    ours = None
    for command in commands:
        [(what, value)] = json.loads(command).items()
        try:
            if what == "open":
                path = value.pop("path", "/")
                there = socket.create_connection(("127.0.0.1", port))
                ours = connect(f"ws://{host}{path}", sock=there, max_size=None, **value).__enter__()
                fields = {name.lower(): text for name, text in ours.response.headers.raw_items()}
                answer = {"subprotocol": ours.subprotocol, "extensions": fields.get("sec-websocket-extensions")}
            elif what == "text":
                ours.send(value)
                answer = {"text": ours.recv(60)}
            elif what == "binary":
                message = os.urandom(value)
                ours.send(message)
                answer = {"same": ours.recv(60) == message}
            elif what == "ping":
                answer = {"pong": ours.ping(value).wait(60)}
            elif what == "close":
                ours.close(*value)
                answer = ended(ours.protocol.close_exc)
            else:
                ours.recv(60)
                answer = {"fault": "a message instead of the end"}
        except ConnectionClosed as error:
            answer = ended(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        with serve(service, "127.0.0.1", 0, max_size=None, subprotocols=["chat.v2", "chat.v1"]) as server:
            print(server.socket.getsockname()[1], flush=True)
            server.serve_forever()
    else:
        visit(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
