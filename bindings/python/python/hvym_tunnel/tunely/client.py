"""Tunely's client: one local service, at a server of Tunely or at a relay of ours that takes its agents."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .._pump import Event
from ..agent import Agent, Link, Service
from .config import TunnelClientConfig
from .messages import TunnelRequest

logger = logging.getLogger("hvym_tunnel.tunely")


class TunnelClient:
    """Connects again by itself until it is stopped. A token that is wrong is not tried again for ever: :meth:`run` raises."""

    def __init__(
        self,
        server_url: str | None = None,
        token: str | None = None,
        target_url: str | None = None,
        config: TunnelClientConfig | None = None,
    ) -> None:
        given = {"server_url": server_url, "token": token, "target_url": target_url}
        self.config = config or TunnelClientConfig(**{name: value for name, value in given.items() if value is not None})
        self._agent: Agent | None = None
        self._is_stopped = False
        self._domain: str | None = None
        self._failures = 0
        self._on_connect: Callable[[], object] | None = None
        self._on_disconnect: Callable[[], object] | None = None
        self._on_request: Callable[[TunnelRequest], object] | None = None

    @property
    def is_connected(self) -> bool:
        return self._agent is not None and self._agent.is_online

    @property
    def domain(self) -> str | None:
        """What the server calls the tunnel; ``None`` before it was connected."""
        return self._domain

    def on_connect(self, callback: Callable[[], object]) -> None:
        """Calls this at every connection."""
        self._on_connect = callback

    def on_disconnect(self, callback: Callable[[], object]) -> None:
        """Calls this when a connection is lost, and at every attempt that fails."""
        self._on_disconnect = callback

    def on_request(self, callback: Callable[[TunnelRequest], object]) -> None:
        """Calls this for every request, once it was answered."""
        self._on_request = callback

    async def run(self) -> None:
        """Runs until :meth:`stop`, or until the attempts are used up.

        Raises what ends it otherwise, such as :class:`AuthenticationFailed`.
        """
        self._is_stopped, self._failures = False, 0
        config = self.config
        link = Link(
            plain_relay=True,
            backoff_initial=min(config.reconnect_interval, 60.0),
            backoff_max=max(config.reconnect_interval, 60.0),
        )
        service = Service("web", config.target_url)
        agent = self._agent = Agent(config.server_url, [service], link=link, token=config.token, force=config.force)
        events = agent.events()
        agent.start()
        try:
            async for event in events:
                if self._is_stopped or not self._handle(event):
                    break
        finally:
            await agent.aclose(1.0)
        if agent.failure is not None:
            _call(self._on_disconnect)
            raise agent.failure

    async def stop(self) -> None:
        """Ends :meth:`run`. Returns when the connection is closed."""
        self._is_stopped = True
        if self._agent is not None:
            await self._agent.aclose(1.0)

    def _handle(self, event: Event) -> bool:
        """Whether to go on."""
        if event.kind in ("online", "reconnected"):
            self._failures = 0
            if event.kind == "online":
                self._domain = _name(event.services[0]["url"])
            _call(self._on_connect)
        elif event.kind == "disconnected":
            self._failures += 1
            _call(self._on_disconnect)
            if 0 < self.config.max_reconnect_attempts < self._failures:
                logger.error("not connected after %d attempts", self.config.max_reconnect_attempts)
                return False
        elif event.kind == "request":
            request = TunnelRequest(event.method, event.path, event.status, round(event.seconds * 1000))
            _call(self._on_request, request)
        return True


def _name(url: str) -> str:
    """The tunnel's name in the address of its visitors: a label, a part of a path, or the whole."""
    rest = url.partition("://")[2] or url
    host, _, path = rest.partition("/")
    return path[2:].strip("/") if path.startswith("t/") else host.split(".")[0]


def _call(callback: Callable[..., object] | None, *arguments: object) -> None:
    if callback is None:
        return
    try:
        callback(*arguments)
    except Exception:
        logger.exception("a callback failed")


