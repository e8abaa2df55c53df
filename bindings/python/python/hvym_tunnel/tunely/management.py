"""The HTTP routes by which Tunely's tools create and look after tunnels. It knows no sockets."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from .._asgi import Receive, Scope, Send
from .bridge import answer, read_all
from .store import new_token

if TYPE_CHECKING:
    from .server import TunnelServer

# The largest request to create or change a tunnel, bytes: a name and a description.
_MAX_REQUEST = 64 * 1024
# The largest request to forward, bytes; the relay has the same limit.
_MAX_FORWARD = 16 * 1024 * 1024
# A DNS label (RFC 1123 section 2.1). Host names have no case, so an upper-case one would never be reached.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_BAD_NAME = "Invalid domain format. Use lower-case letters, numbers, and hyphens only (1-63 chars)"


class Management:
    """``/api/tunnels`` and below."""

    def __init__(self, server: TunnelServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rest = scope["path"].partition("/api/tunnels")[2].strip("/")
        parts = [unquote(part) for part in rest.split("/") if part]
        status, body = await self._answer(scope, receive, scope["method"], parts)
        await answer(send, status, json.dumps(body).encode())

    async def _answer(self, scope: Scope, receive: Receive, method: str, parts: list[str]) -> tuple[int, Any]:
        own = len(parts) == 1 and method == "DELETE" and self._is_own(scope, parts[0])
        if not own and not self._is_admin(scope):
            return 401, {"detail": "Invalid API key"}
        if not parts:
            return await self._collection(receive, method)
        if parts == ["check-availability"]:
            return 200, self._availability(scope)
        tunnel = self._server.store.get(parts[0])
        if tunnel is None:
            return 404, {"detail": "Tunnel not found"}
        if len(parts) == 1:
            return await self._one(receive, method, parts[0])
        if parts[1:] == ["forward"] and method == "POST":
            return await self._forward(receive, parts[0])
        if parts[1:] == ["regenerate-token"] and method == "POST":
            token = new_token()
            self._server.store.update(parts[0], token=token)
            self._server.refresh()
            return 200, {"domain": parts[0], "token": token}
        return 404, {"detail": "Not Found"}

    async def _collection(self, receive: Receive, method: str) -> tuple[int, Any]:
        if method == "GET":
            return 200, [await self._server.describe(tunnel.domain) for tunnel in self._server.store.all()]
        if method != "POST":
            return 405, {"detail": "Method Not Allowed"}
        asked = await _json(receive, _MAX_REQUEST)
        if asked is None or not isinstance(asked.get("domain"), str):
            return 422, {"detail": "a JSON object with the member domain is needed"}
        if not _NAME.match(asked["domain"]):
            return 400, {"detail": _BAD_NAME}
        try:
            tunnel = self._server.create_tunnel(asked["domain"], asked.get("name"), asked.get("description"))
        except sqlite3.IntegrityError:
            return 409, {"detail": "Domain already exists"}
        return 200, {"domain": tunnel.domain, "token": tunnel.token, "name": tunnel.name, "mode": "http"}

    async def _one(self, receive: Receive, method: str, domain: str) -> tuple[int, Any]:
        if method == "PUT":
            asked = await _json(receive, _MAX_REQUEST)
            if asked is None:
                return 422, {"detail": "a JSON object is needed"}
            values = {key: asked[key] for key in ("name", "description", "enabled") if asked.get(key) is not None}
            if values:
                self._server.store.update(domain, **values)
                self._server.refresh()
        elif method == "DELETE":
            self._server.delete_tunnel(domain)
            return 200, {"success": True, "domain": domain}
        elif method != "GET":
            return 405, {"detail": "Method Not Allowed"}
        return 200, await self._server.describe(domain)

    async def _forward(self, receive: Receive, domain: str) -> tuple[int, Any]:
        asked = await _json(receive, _MAX_FORWARD)
        if asked is None:
            return 422, {"detail": "a JSON object is needed"}
        if not str(asked.get("path", "/")).startswith("/"):
            return 400, {"detail": "a path begins with /"}
        known = ("method", "path", "headers", "body", "timeout")
        response = await self._server.forward(domain, **{key: asked[key] for key in known if asked.get(key) is not None})
        return 200, vars(response)

    def _availability(self, scope: Scope) -> dict[str, Any]:
        name = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("name", [""])[0]
        reason = None
        if not _NAME.match(name):
            reason = _BAD_NAME
        elif self._server.store.get(name) is not None:
            reason = "Domain already exists"
        return {"available": reason is None, "name": name, "reason": reason}

    def _is_admin(self, scope: Scope) -> bool:
        """Whether the operator asks: by the key, or from this machine if there is none."""
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        key = self._server.config.admin_api_key
        if key:
            return hmac.compare_digest(headers.get(b"x-api-key", b""), key.encode())
        client = scope.get("client")
        is_proxied = bool({b"x-forwarded-for", b"forwarded", b"via"} & headers.keys())
        return client is not None and not is_proxied and _is_loopback(str(client[0]))

    def _is_own(self, scope: Scope, domain: str) -> bool:
        tunnel = self._server.store.get(domain)
        given = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}.get(b"x-tunnel-token")
        return tunnel is not None and given is not None and hmac.compare_digest(given, tunnel.token.encode())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _json(receive: Receive, limit: int) -> dict[str, Any] | None:
    body = await read_all(receive, limit)
    try:
        value = json.loads(body) if body else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
