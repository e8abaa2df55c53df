"""The settings of a client and of a server: arguments first, then variables of the environment, then a file ``.env``."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import InvalidSettings

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def _from_environment(kind: type[Any], prefix: str) -> dict[str, Any]:
    variables = {**_from_file(Path(".env")), **{name.upper(): value for name, value in os.environ.items()}}
    found: dict[str, Any] = {}
    for field in fields(kind):
        text = variables.get(prefix + field.name.upper())
        if text is not None:
            found[field.name] = _value(field.name, str(field.type), text)
    return found


def _from_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip().upper(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _value(name: str, kind: str, text: str) -> Any:
    try:
        if kind.startswith("bool"):
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError
            return text.lower() in _TRUE
        if kind.startswith("int"):
            return int(text)
        if kind.startswith("float"):
            return float(text)
    except ValueError:
        # The text may be a secret in the wrong place.
        raise InvalidSettings(f"{name} is not of the kind that it must be ({kind})", "invalid") from None
    return text


@dataclass(init=False)
class TunnelServerConfig:
    """``WS_TUNNEL_*``. What the relay decides by itself (heartbeats, queues) is taken and has no effect."""

    domain: str = "localhost"
    database_url: str = "sqlite+aiosqlite:///./data/tunnels.db"
    ws_path: str = "/ws/tunnel"
    ws_url: str | None = None
    heartbeat_interval: int = 30
    heartbeat_timeout: int = 90
    default_timeout: float = 1800.0
    max_pending_requests: int = 1000
    forward_max_timeout: float = 600.0
    admin_api_key: str | None = None
    instruction: str | None = None

    def __init__(self, **given: Any) -> None:
        for name, value in {**_from_environment(type(self), "WS_TUNNEL_"), **given}.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f"TunnelServerConfig(domain={self.domain!r}, ws_path={self.ws_path!r})"


@dataclass(init=False)
class TunnelClientConfig:
    """``WS_TUNNEL_CLIENT_*``."""

    server_url: str = "ws://localhost:8000/ws/tunnel"
    token: str = ""
    target_url: str = "http://localhost:8080"
    reconnect_interval: float = 5.0
    max_reconnect_attempts: int = 0
    force: bool = False
    request_timeout: float = 1800.0

    def __init__(self, **given: Any) -> None:
        for name, value in {**_from_environment(type(self), "WS_TUNNEL_CLIENT_"), **given}.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        # Without the token.
        return f"TunnelClientConfig(server_url={self.server_url!r}, target_url={self.target_url!r})"
