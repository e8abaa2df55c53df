"""Leads requests and WebSockets of another ASGI server to the relay in this process. It knows no tunnels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

from .._asgi import Message, Receive, Scope, Send
from .._client import ClientWebSocket, Connection
from .._http import Disconnected, Headers, ProtocolError

# What a path may have as it is (RFC 3986 section 3.3), beside letters and digits.
_PATH = "/:@!$&'()*+,;=~-._"
# Fields of one connection alone (RFC 9110 section 7.6.1), and those that the bridge sets itself.
_OWN = {
    b"connection",
    b"content-length",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
}


def target(scope: Scope) -> bytes:
    """The request target as the visitor sent it."""
    raw = scope.get("raw_path") or quote(scope["path"], safe=_PATH).encode("ascii")
    query: bytes = scope.get("query_string", b"")
    path: bytes = raw.partition(b"?")[0]
    return path + b"?" + query if query else path


def below(scope: Scope, base: str) -> Scope:
    """The scope of a route that begins with ``base``, without the prefix that its router was included or mounted at."""
    rest: str | None = scope.get("path_params", {}).get("rest")
    own = base if rest is None else f"{base}/{rest}"
    path: str = scope["path"]
    prefix = path[: len(path) - len(own)]
    raw = scope.get("raw_path") or quote(path, safe=_PATH).encode("ascii")
    # One that the visitor has spelled otherwise names nothing here.
    start = prefix.encode()
    return {**scope, "path": own, "raw_path": raw[len(start) :] if raw.startswith(start) else raw}


def fields(scope: Scope, host: str) -> Headers:
    """The header fields for the relay, which believes what is said about the visitor here and nowhere else."""
    kept = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    made = [(name, value) for name, value in kept if name not in _OWN and not name.startswith(b"sec-websocket-")]
    made.insert(0, (b"host", host.encode("ascii")))
    client = scope.get("client")
    if client:
        made.append((b"x-forwarded-for", str(client[0]).encode("ascii")))
    scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
    made.append((b"x-forwarded-proto", scheme.encode()))
    offered = [value for name, value in kept if name == b"sec-websocket-protocol"]
    return made + [(b"sec-websocket-protocol", value) for value in offered]


async def serve_http(at: tuple[str, int], host: str, scope: Scope, receive: Receive, send: Send) -> None:
    """One request to the relay at ``at``, by the name ``host``."""
    try:
        connection = await Connection.open(at)
    except OSError:
        await answer(send, 503, b'{"detail":"The tunnel server does not run"}')
        return
    has_started = False
    try:
        body, length = _body(scope, receive)
        response = await connection.request(scope["method"], target(scope), fields(scope, host), body, length)
        headers = [(name, value) for name, value in response.headers if name not in (b"connection", b"transfer-encoding")]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        has_started = True
        async for data in response.body:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except (Disconnected, ProtocolError, OSError):
        if has_started:
            # The server that runs this cuts the response off.
            raise
        await answer(send, 502, b'{"detail":"The tunnel server does not answer"}')
    finally:
        connection.close()


def _body(scope: Scope, receive: Receive) -> tuple[AsyncIterator[bytes] | bytes, int | None]:
    """The body of a request, and its length if that is known. The server that runs this has checked both."""
    known = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
    length = known.get(b"content-length")
    if length is None and b"transfer-encoding" not in known:
        return b"", None

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Disconnected
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    return pieces(), int(length) if length is not None and length.isdigit() else None


async def serve_websocket(
    at: tuple[str, int], host: str, path: bytes, scope: Scope, receive: Receive, send: Send
) -> None:
    """One WebSocket to the relay."""
    if (await receive())["type"] != "websocket.connect":
        return
    try:
        connection = await Connection.open(at)
    except OSError:
        await send({"type": "websocket.close", "code": 1013})
        return
    try:
        socket = await connection.upgrade(path, fields(scope, host))
    except (Disconnected, ProtocolError, OSError):
        connection.close()
        await send({"type": "websocket.close", "code": 1013})
        return
    try:
        await send({"type": "websocket.accept", "subprotocol": socket.subprotocol})
        await _both_ways(socket, receive, send)
    finally:
        connection.close()


async def _both_ways(socket: ClientWebSocket, receive: Receive, send: Send) -> None:
    async def inward() -> None:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                await socket.close(_code(message.get("code", 1000)))
                return
            text = message.get("text")
            await socket.send(text if text is not None else message["bytes"])

    async def outward() -> None:
        while True:
            message = await socket.receive()
            if isinstance(message, tuple):
                await send({"type": "websocket.close", "code": _code(message[0]), "reason": message[1]})
                return
            key = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", key: message})

    tasks = [asyncio.ensure_future(inward()), asyncio.ensure_future(outward())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        lost = [error for task in done if (error := task.exception()) is not None]
        if lost and tasks[0] not in done:
            # The relay has gone without a word.
            await send({"type": "websocket.close", "code": 1012})
        for error in lost:
            if not isinstance(error, (Disconnected, ProtocolError, OSError)):
                raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _code(code: int) -> int:
    # Codes that say that there was none may not be sent (RFC 6455 section 7.4.1).
    return 1000 if code in (1005, 1006, 1015) else code


async def answer(send: Send, status: int, body: bytes, extra: Headers | None = None) -> None:
    """A response in JSON."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(extra or [])]
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
