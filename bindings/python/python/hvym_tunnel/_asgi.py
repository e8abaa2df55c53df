"""ASGI 3 (HTTP, WebSocket and lifespan) on the connections of :mod:`hvym_tunnel._http`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ._http import Disconnected, Exchange, ProtocolError, Request, Wire
from ._websocket import WebSocket

logger = logging.getLogger("hvym_tunnel")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long an application may take to start and to finish, seconds.
LIFESPAN_TIMEOUT = 30.0


def scope(request: Request, kind: str, state: dict[str, Any]) -> Scope:
    """What an application is told of a request. The agent's relay vouches for where the visitor came from."""
    raw_path, _, query = request.target.partition(b"?")
    forwarded = _first(request, b"x-forwarded-for")
    host, _, port = (_first(request, b"host") or "localhost").rpartition(":")
    is_secure = _first(request, b"x-forwarded-proto") == "https"
    schemes = ("wss", "ws") if kind == "websocket" else ("https", "http")
    made: Scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.version,
        "scheme": schemes[0] if is_secure else schemes[1],
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": request.headers,
        "client": (forwarded, 0) if forwarded else None,
        "server": (host or port, int(port) if host and port.isdigit() else (443 if is_secure else 80)),
        "state": dict(state),
    }
    if kind == "http":
        made["method"] = request.method
    else:
        offered = [value.decode("latin-1") for value in request.values(b"sec-websocket-protocol")]
        made["subprotocols"] = [name.strip() for value in offered for name in value.split(",") if name.strip()]
    return made


def _first(request: Request, name: bytes) -> str | None:
    values = request.values(name)
    return values[0].split(b",")[0].strip().decode("latin-1") if values else None


async def serve_http(app: App, exchange: Exchange, state: dict[str, Any]) -> None:
    """One request. Raises what the application raises, and if it sends no response."""
    is_body_told = False

    async def receive() -> Message:
        nonlocal is_body_told
        if is_body_told:
            await exchange.gone()
            return {"type": "http.disconnect"}
        try:
            data = await exchange.read()
        except (Disconnected, ProtocolError, ConnectionError):
            is_body_told = True
            return {"type": "http.disconnect"}
        is_body_told = exchange.is_body_done
        return {"type": "http.request", "body": data, "more_body": not is_body_told}

    async def send(message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            exchange.start(message["status"], headers)
        elif kind == "http.response.body":
            await exchange.send(bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        else:
            raise RuntimeError(f"{kind!r} is not of HTTP")

    await app(scope(exchange.request, "http", state), receive, send)
    if not exchange.done.is_set():
        if exchange.is_lost:
            raise Disconnected
        raise RuntimeError("the application did not finish its response")


async def serve_websocket(app: App, wire: Wire, request: Request, state: dict[str, Any]) -> None:
    """One WebSocket, from the upgrade to the end of the connection."""
    socket = WebSocket(wire, request)
    phase = "connecting"

    async def receive() -> Message:
        nonlocal phase
        if phase == "connecting":
            phase = "asked"
            return {"type": "websocket.connect"}
        if phase == "closed":
            return {"type": "websocket.disconnect", "code": 1006}
        try:
            message = await socket.receive()
        except (Disconnected, ProtocolError, ConnectionError):
            phase = "closed"
            return {"type": "websocket.disconnect", "code": 1006}
        if isinstance(message, tuple):
            phase = "closed"
            return {"type": "websocket.disconnect", "code": message[0], "reason": message[1]}
        key = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", key: message}

    async def send(message: Message) -> None:
        nonlocal phase
        kind = message["type"]
        if kind == "websocket.accept":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            await socket.accept(message.get("subprotocol"), headers)
            phase = "open"
        elif kind == "websocket.send":
            data = message.get("text")
            await socket.send(data if data is not None else bytes(message["bytes"]))
        elif kind == "websocket.close":
            if phase == "open":
                await socket.close(message.get("code", 1000), message.get("reason") or "")
            elif phase == "asked":
                await wire.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            phase = "closed"
        else:
            raise RuntimeError(f"{kind!r} is not of WebSocket")

    try:
        await app(scope(request, "websocket", state), receive, send)
    except Exception:
        if phase == "asked" or phase == "connecting":
            await wire.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        elif phase == "open":
            await socket.close(1011)
        raise
    if phase == "open":
        await socket.close()


class Lifespan:
    """Tells an application when serving begins and ends. One that does not want to know is not told."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._messages: asyncio.Queue[Message]
        self._answers: asyncio.Queue[Message | None]
        self._task: asyncio.Future[None] | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Raises if the application says that it cannot start."""
        # Until Python 3.10 a queue belongs to the loop in which it is made.
        self._messages, self._answers = asyncio.Queue(), asyncio.Queue()
        self._task = asyncio.ensure_future(self._run())
        answer = await self._tell("startup")
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise RuntimeError(f"the application does not start: {answer.get('message', '')}")

    async def stop(self) -> None:
        if self._task is None:
            return
        if not self._task.done():
            await self._tell("shutdown")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _tell(self, what: str) -> Message | None:
        self._messages.put_nowait({"type": f"lifespan.{what}"})
        return await asyncio.wait_for(self._answers.get(), LIFESPAN_TIMEOUT)

    async def _run(self) -> None:
        made: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}

        async def send(message: Message) -> None:
            self._answers.put_nowait(message)

        try:
            await self._app(made, self._messages.get, send)
        except Exception as error:
            logger.debug("the application has no lifespan: %r", error)
        finally:
            self._answers.put_nowait(None)
