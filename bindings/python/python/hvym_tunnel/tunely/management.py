"""The routes by which Tunely's tools create and look after tunnels: the relay's own, which knows the operator by a key.

Where the operator has set none, programs of this machine are taken for the operator, and pages in its browsers are not.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol
from urllib.parse import urlsplit

from .._asgi import Receive, Scope, Send
from .bridge import below, serve_http
from .config import TunnelServerConfig

# Fields by which a proxy tells of somebody behind it.
_PROXIED = {b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"}


class ManagedServer(Protocol):
    """What the routes need of the server."""

    config: TunnelServerConfig
    key: str

    @property
    def relay_place(self) -> tuple[tuple[str, int], str]: ...


class Management:
    """``/api/tunnels`` and below."""

    def __init__(self, server: ManagedServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if not self._server.config.admin_api_key and _is_from_here(scope, self._server.config.domain):
            headers = [(name, value) for name, value in headers if bytes(name).lower() != b"x-api-key"]
            headers.append((b"x-api-key", self._server.key.encode()))
        asked = below({**scope, "headers": headers}, "/api/tunnels")
        await serve_http(*self._server.relay_place, asked, receive, send)


def _is_from_here(scope: Scope, domain: str) -> bool:
    fields = [(bytes(name).lower(), bytes(value).decode("latin-1")) for name, value in scope["headers"]]
    client = scope.get("client")
    if client is None or not _is_loopback(str(client[0])) or _PROXIED & {name for name, _ in fields}:
        return False
    # A page of another site sends its origin, and one whose name was led here (DNS rebinding) that name as the host.
    hosts = [_host(f"//{value}") for name, value in fields if name == b"host"]
    hosts += [_host(value) for name, value in fields if name == b"origin"]
    return all(host == domain or _is_loopback(host) for host in hosts)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
