"""Tunely's client and embeddable server, by the names that its users know, on the agent and the relay of this package.

    from hvym_tunnel.tunely import TunnelClient, TunnelServer

The server is a router for FastAPI or Starlette. It takes the agents of Tunely, whatever their version, and keeps tunnels in SQLite,
PostgreSQL, MySQL or MariaDB; ``tunely import`` takes over those of Tunely's own server.
"""

from .client import TunnelClient
from .config import TunnelClientConfig, TunnelServerConfig
from .messages import (
    ForwardResponse,
    StreamChunkMessage,
    StreamEndMessage,
    StreamStartMessage,
    TunnelRequest,
)
from .server import TunnelServer, create_full_app, run_app

__all__ = [
    "ForwardResponse",
    "StreamChunkMessage",
    "StreamEndMessage",
    "StreamStartMessage",
    "TunnelClient",
    "TunnelClientConfig",
    "TunnelRequest",
    "TunnelServer",
    "TunnelServerConfig",
    "create_full_app",
    "run_app",
]
