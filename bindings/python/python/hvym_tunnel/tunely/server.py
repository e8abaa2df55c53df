"""Tunely's embeddable server: a relay of this process behind the routes of another ASGI application."""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import secrets
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from .. import __version__ as _version
from .._asgi import Receive, Scope, Send
from .._client import Connection, Response
from .._http import Disconnected, Headers, ProtocolError
from .._native import Identity
from ..errors import AgentEnded, InvalidSettings
from ..relay import Relay
from . import bridge
from .config import TunnelServerConfig
from .management import Management
from .messages import ForwardResponse, StreamChunkMessage, StreamEndMessage, StreamStartMessage

# Where the relay takes agents of Tunely.
_RELAY_PATH = b"/ws/tunnel"
# How SQLAlchemy spells a database that is gone at the end: here it is a file in a folder of its own until then.
_IN_MEMORY = ("", "/", "/:memory:")
# What forward() keeps of a response, bytes.
_MAX_RESPONSE = 128 * 1024 * 1024


class TunnelServer:
    """Takes agents at ``config.ws_path`` of :attr:`router`, and forwards requests to them.

    It starts with :meth:`initialize` and ends with :meth:`close`. Without ``admin_api_key``, tunnels are created from this
    machine alone.
    """

    def __init__(self, config: TunnelServerConfig | None = None, **settings: Any) -> None:
        self.config = config or TunnelServerConfig(**settings)
        self._relay: Relay | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._router: Any = None
        #: By which this object asks the relay, as the operator does.
        self.key = self.config.admin_api_key or secrets.token_hex(32)

    # -- life ----------------------------------------------------------------------------------------------------------------

    async def initialize(self) -> None:
        """Opens the database and starts the relay. Again, it does nothing."""
        if self._relay is not None:
            return
        options: dict[str, dict[str, Any]] = {
            "names": {"path_names": True},
            "public": {"trusted_proxy": ["127.0.0.1/32"]},
            "tunely": {"admin_key": self.key, "tunnels": {}},
        }
        database = self.config.database_url
        if database.partition("://")[2] in _IN_MEMORY:
            self._folder = tempfile.TemporaryDirectory(prefix="hvym-tunnel-")
            database = f"sqlite:///{self._folder.name}/tunnels.db"
        # Identities come by other ways than Tunely's: none is let in.
        nobody = [Identity.generate().address]
        relay = self._relay = Relay(domain=self.config.domain, allow=nobody, options=options, database=database)
        try:
            # Opening a database may take as long as its server needs.
            await asyncio.get_running_loop().run_in_executor(None, relay.start)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the relay and with it the connections of agents."""
        relay, self._relay = self._relay, None
        folder, self._folder = self._folder, None
        if relay is not None:
            await relay.aclose(1.0)
        if folder is not None:
            folder.cleanup()

    @property
    def relay_place(self) -> tuple[tuple[str, int], str]:
        """Where the relay listens, and by which name it is asked."""
        if self._relay is None:
            raise AgentEnded("the tunnel server was not initialized", "closed")
        return self._relay.listen, self.config.domain

    # -- tunnels -------------------------------------------------------------------------------------------------------------

    async def create_tunnel(
        self, domain: str, name: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        """A new tunnel, with its token, which is shown once."""
        asked = {"domain": domain, "name": name, "description": description}
        payload = {key: value for key, value in asked.items() if value is not None}
        made = await self._ask("POST", "/api/tunnels", json.dumps(payload).encode())
        if "token" not in made:
            raise InvalidSettings(str(made.get("detail", "the tunnel was not created")), "invalid")
        return made

    async def delete_tunnel(self, domain: str) -> bool:
        """Whether there was one. Its agent is cut off."""
        return bool((await self._ask("DELETE", f"/api/tunnels/{quote(domain, safe='')}", b"")).get("success"))

    async def is_connected(self, domain: str) -> bool:
        """Whether an agent is connected."""
        return bool((await self._ask("GET", f"/api/tunnels/{quote(domain, safe='')}", b"")).get("connected"))

    # -- requests ------------------------------------------------------------------------------------------------------------

    async def forward(
        self,
        domain: str,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None = None,
    ) -> ForwardResponse:
        """One request to the service of a tunnel, and its whole response. A body is any value that JSON has."""
        limit = min(timeout or self.config.default_timeout, self.config.forward_max_timeout)
        asked = {"method": method, "path": _target(path), "headers": dict(headers or {}), "body": body, "timeout": limit}
        told = await self._ask("POST", f"/api/tunnels/{quote(domain, safe='')}/forward", json.dumps(asked).encode())
        if "detail" in told:
            # What was asked is no request that can be sent.
            return ForwardResponse(400, error=json.dumps(told["detail"]))
        if "status" not in told:
            return ForwardResponse(503, error=f"Tunnel not connected: {domain}")
        return ForwardResponse(**{key: told[key] for key in ("status", "headers", "body", "duration_ms", "error")})

    async def forward_stream(
        self,
        domain: str,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None = None,
    ) -> AsyncIterator[StreamStartMessage | StreamChunkMessage | StreamEndMessage]:
        """As :meth:`forward`, with the response as it comes. Leaving the iteration ends the request."""
        begun, ident, sequence = time.monotonic(), str(uuid.uuid4()), 0

        def end(error: str | None) -> StreamEndMessage:
            return StreamEndMessage(ident, error, round((time.monotonic() - begun) * 1000), sequence)

        if not await self.is_connected(domain):
            yield end(f"Tunnel not connected: {domain}")
            return
        connection = await Connection.open(self.relay_place[0])
        try:
            fields, payload = _request_fields(f"{domain}.{self.config.domain}", headers, body)
            response = await connection.request(method, quote(path, safe="/?&=%:@!$'()*+,;~-._"), fields, payload)
            yield StreamStartMessage(ident, response.status, _joined(response))
            decode = _decoder(response)
            async for data in response.body:
                text, encoding = decode(data)
                if text:
                    yield StreamChunkMessage(ident, text, sequence, encoding)
                    sequence += 1
            yield end(None)
        except (Disconnected, ProtocolError, OSError) as error:
            yield end(str(error) or "the connection was lost")
        finally:
            connection.close()

    async def _ask(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """What the relay answers to the operator; nothing if that is no JSON object."""
        connection = await Connection.open(self.relay_place[0])
        try:
            fields: Headers = [
                (b"host", self.config.domain.encode("ascii")),
                (b"x-api-key", self.key.encode()),
                (b"content-type", b"application/json"),
            ]
            response = await connection.request(method, path, fields, body)
            answer = bytearray()
            async for data in response.body:
                answer += data
                if len(answer) > _MAX_RESPONSE:
                    raise ProtocolError("too large")
            told = json.loads(answer) if answer else {}
            return told if isinstance(told, dict) else {}
        finally:
            connection.close()

    # -- routes --------------------------------------------------------------------------------------------------------------

    @property
    def router(self) -> Any:
        """An ``APIRouter`` of FastAPI, or a ``Router`` of Starlette if there is no FastAPI."""
        if self._router is None:
            self._router = self._make_router()
        return self._router

    def _make_router(self) -> Any:
        from starlette.routing import Route, Router, WebSocketRoute

        management, path = Management(self), _ByPath(self)
        router: Any = Router()
        try:
            from fastapi import APIRouter

            router = APIRouter()
        except ImportError:
            pass
        router.routes.extend(
            [
                WebSocketRoute(self.config.ws_path, endpoint=_Agents(self)),
                Route("/api/tunnels", endpoint=management, methods=["GET", "POST"]),
                Route("/api/tunnels/{rest:path}", endpoint=management, methods=["GET", "POST", "PUT", "DELETE"]),
                Route("/api/info", endpoint=_Info(self), methods=["GET"]),
                Route("/t/{rest:path}", endpoint=path, methods=_METHODS),
            ]
        )
        return router


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _Agents:
    """Agents that connect."""

    def __init__(self, server: TunnelServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        at, host = self._server.relay_place
        query: bytes = scope.get("query_string", b"")
        path = _RELAY_PATH + (b"?" + query if query else b"")
        await bridge.serve_websocket(at, host, path, scope, receive, send)


class _ByPath:
    """Visitors who name a tunnel in the path."""

    def __init__(self, server: TunnelServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await bridge.serve_http(*self._server.relay_place, bridge.below(scope, "/t"), receive, send)


class _Info:
    """What clients are told before they connect."""

    def __init__(self, server: TunnelServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        config = self._server.config
        scheme = "wss" if scope.get("scheme") == "https" else "ws"
        domain = {"pattern": f"{{subdomain}}.{config.domain}", "customizable": "subdomain", "suffix": f".{config.domain}"}
        info: dict[str, Any] = {
            "name": "hvym-tunnel",
            "version": _version,
            "domain": domain,
            "websocket": {"url": config.ws_url or f"{scheme}://{config.domain}{config.ws_path}"},
            "protocols": ["https", "http"],
            "auth": {"required": bool(config.admin_api_key), "type": None},
        }
        if config.instruction:
            info["instruction"] = config.instruction
        await bridge.answer(send, 200, json.dumps(info).encode())


def create_full_app(config: TunnelServerConfig | None = None, **settings: Any) -> Any:
    """A whole ASGI application: the routes of a server, and visitors who name a tunnel in the host name."""
    server = TunnelServer(config, **settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(server, receive, send)
            return
        host = next((bytes(value).decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        name = host.rpartition(":")[0] or host
        at, _ = server.relay_place
        if name.lower().endswith(f".{server.config.domain}"):
            if scope["type"] == "websocket":
                await bridge.serve_websocket(at, name.lower(), bridge.target(scope), scope, receive, send)
            else:
                await bridge.serve_http(at, name.lower(), scope, receive, send)
        elif scope["path"] == "/health":
            await bridge.answer(send, 200, b'{"status":"ok"}')
        else:
            await server.router(scope, receive, send)

    return app


async def _lifespan(server: TunnelServer, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await server.initialize()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            await server.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


def run_app(host: str = "0.0.0.0", port: int = 8000, config: TunnelServerConfig | None = None, **settings: Any) -> None:
    """Serves :func:`create_full_app` by uvicorn, which must be installed, until it is interrupted."""
    import uvicorn

    uvicorn.run(create_full_app(config, **settings), host=host, port=port)


def _target(path: str) -> str:
    """A path and query with what may not be in them as it is (RFC 3986 sections 3.3 and 3.4) written as octets."""
    return quote(path, safe="/?&=%:@!$'()*+,;~-._")


def _request_fields(host: str, headers: Mapping[str, str] | None, body: Any) -> tuple[Headers, bytes]:
    given = {name.lower(): value for name, value in (headers or {}).items()}
    payload = b"" if body is None else (body.encode() if isinstance(body, str) else json.dumps(body).encode())
    if body is not None and "content-type" not in given:
        given["content-type"] = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    given.setdefault("accept", "text/event-stream")
    for name in ("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"):
        given.pop(name, None)
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    return [(b"host", host.encode("ascii")), *fields], payload


def _joined(response: Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _decoder(response: Response) -> Any:
    kind = (response.value(b"content-type") or b"").lower()
    if kind.startswith(b"text/") or b"json" in kind:
        # A character may be cut in two between pieces.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda data: (decoder.decode(data), "plain")
    return lambda data: (base64.b64encode(data).decode("ascii"), "base64")
