"""A public address for a service on this machine.

    import hvym_tunnel

    with hvym_tunnel.expose("3000", relay="wss://tunnel.example") as tunnel:
        print(tunnel.url)
        input()

The same object is an asynchronous context manager. What is exposed may be a place (``"3000"``, ``"https://localhost:8443"``,
``"tcp://localhost:22"``, ``"./site"``) or an ASGI or WSGI application, which then needs no port.
"""

from ._native import Identity, __version__
from .agent import Agent, Event, Service
from .errors import (
    AgentEnded,
    AuthenticationFailed,
    ForkedError,
    IdentityError,
    InvalidSettings,
    RelayUnreachable,
    ServiceRefused,
    TunnelError,
    TunnelTimeout,
)
from .exposing import Exposure, expose
from .relay import Relay

__all__ = [
    "Agent",
    "AgentEnded",
    "AuthenticationFailed",
    "Event",
    "Exposure",
    "ForkedError",
    "Identity",
    "IdentityError",
    "InvalidSettings",
    "Relay",
    "RelayUnreachable",
    "Service",
    "ServiceRefused",
    "TunnelError",
    "TunnelTimeout",
    "__version__",
    "expose",
]
