"""The routes by which Tunely's tools create and look after tunnels: the relay's own, which knows the operator by a key.

Where the operator has set none, whoever asks from this machine is taken for the operator.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from .._asgi import Receive, Scope, Send
from .bridge import serve_http

if TYPE_CHECKING:
    from .server import TunnelServer

# Fields by which a proxy tells of somebody behind it.
_PROXIED = {b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"}


class Management:
    """``/api/tunnels`` and below."""

    def __init__(self, server: TunnelServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if not self._server.config.admin_api_key and _is_from_here(scope):
            headers = [(name, value) for name, value in headers if bytes(name).lower() != b"x-api-key"]
            headers.append((b"x-api-key", self._server.key.encode()))
        await serve_http(*self._server.relay_place, {**scope, "headers": headers}, receive, send)


def _is_from_here(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None or _PROXIED & {bytes(name).lower() for name, _ in scope["headers"]}:
        return False
    try:
        return ipaddress.ip_address(str(client[0])).is_loopback
    except ValueError:
        return False
