"""One service with everything around it: the application that serves it, the agent, and a relay if none is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ._native import Identity
from ._pump import CLOSE_TIMEOUT, Event
from .agent import ONLINE_TIMEOUT, Agent, Link, Service
from .relay import Relay
from .server import AppServer


class Exposure:
    """What :func:`expose` returns: a context manager, synchronous or not, that is online inside."""

    def __init__(
        self, target: Any, service: dict[str, Any], agent: dict[str, Any], relay: str | None, timeout: float | None
    ) -> None:
        self._server = None if isinstance(target, (str, int)) else AppServer(target)
        self._target = str(target)
        self._service, self._agent_options, self._timeout = service, agent, timeout
        self._relay_url = relay
        self._callbacks: list[tuple[str, Callable[[Event], object]]] = []
        #: The relay of its own, if none was named.
        self.relay: Relay | None = None
        #: The agent, once it was started.
        self.agent: Agent | None = None

    @property
    def url(self) -> str:
        """Where visitors come."""
        return (self.agent.url if self.agent else None) or ""

    @property
    def address(self) -> str:
        """Who the agent is, ``G...``."""
        return self.agent.address if self.agent else ""

    def on(self, kind: str, callback: Callable[[Event], object] | None = None) -> Any:
        """As :meth:`Agent.on`."""
        if callback is None:
            return lambda decorated: self.on(kind, decorated) and decorated
        if self.agent is not None:
            return self.agent.on(kind, callback)
        self._callbacks.append((kind, callback))
        return callback

    def start(self) -> None:
        """Starts everything, and waits until visitors can come."""
        try:
            if self._server is not None:
                self._target = self._server.start()
            self._start_agent().wait_online(self._timeout)
        except BaseException:
            self.close(0)
            raise

    async def astart(self) -> None:
        """As :meth:`start`, without blocking the loop, on which an ASGI application is then run."""
        try:
            if self._server is not None:
                self._target = await self._server.astart()
            await self._start_agent().online(self._timeout)
        except BaseException:
            await self.aclose(0)
            raise

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Lets requests finish for at most ``timeout`` seconds, and ends everything."""
        if self.agent is not None:
            self.agent.close(timeout)
        if self.relay is not None:
            self.relay.close(0)
        if self._server is not None:
            self._server.close()

    async def aclose(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """As :meth:`close`, without blocking the loop."""
        if self.agent is not None:
            await self.agent.aclose(timeout)
        if self.relay is not None:
            await self.relay.aclose(0)
        if self._server is not None:
            await self._server.aclose()

    def _start_agent(self) -> Agent:
        url = self._relay_url
        if url is None:
            self.relay = Relay()
            self.relay.start()
            url = self.relay.url
        self.agent = Agent(url, [Service(target=self._target, **self._service)], **self._agent_options)
        for kind, callback in self._callbacks:
            self.agent.on(kind, callback)
        self.agent.start()
        return self.agent

    def __enter__(self) -> Exposure:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Exposure:
        await self.astart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Exposure {self.url or self._target}>"


def expose(
    target: Any,
    *,
    relay: str | None = None,
    service: str = "web",
    name: str | None = None,
    identity: Identity | None = None,
    allow: Iterable[str] | None = None,
    credentials: Iterable[str] = (),
    host: str | None = None,
    link: Link | None = None,
    timeout: float | None = ONLINE_TIMEOUT,
) -> Exposure:
    """Gives ``target`` a public address: a place on this machine, or an ASGI or WSGI application, which needs no port.

    Without a relay it starts one of its own, which this machine alone can visit. ``name`` is a name to ask the relay for beside
    that of the identity; ``allow`` are identities that reach the service, and no visitor; ``credentials`` are ``user:password``
    that visitors must give; ``timeout`` is how long to wait for the first connection, in seconds.
    """
    if not isinstance(target, (str, int)) and not callable(target):
        raise TypeError(f"a place or an application is exposed, and a {type(target).__name__} is neither")
    settings: dict[str, Any] = {
        "name": service,
        "allow": None if allow is None else tuple(allow),
        "credentials": tuple(credentials),
        "host": host,
    }
    agent: dict[str, Any] = {"identity": identity, "names": [] if name is None else [name], "link": link}
    return Exposure(target, settings, agent, relay, timeout)
