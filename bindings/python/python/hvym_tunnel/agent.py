"""An agent: it offers local services at a relay, and stays connected until it is closed."""

from __future__ import annotations

import json
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import _native, _process
from ._native import Identity
from ._pump import Event, Pumped
from .errors import AgentEnded, TunnelError, from_code

__all__ = ["Agent", "Event", "Service"]

logger = logging.getLogger("hvym_tunnel")

# How long the first connection may take by default, seconds: some attempts with their delays.
ONLINE_TIMEOUT = 30.0
# Events that wait for the reader of Agent.events().
EVENT_CAPACITY = 1024


@dataclass(frozen=True)
class Service:
    """One service: its name at the relay, the local place, and who may reach it how."""

    name: str
    target: str
    #: The identities that reach it, and no visitor; ``None``: everybody.
    allow: tuple[str, ...] | None = None
    #: ``user:password`` that visitors must give, each.
    credentials: tuple[str, ...] = ()
    #: The networks that visitors must come from, each as ``10.0.0.0/8``.
    networks: tuple[str, ...] = ()
    #: What the service gets as ``Host``.
    host: str | None = None
    #: A PEM file of certificate authorities to trust beside the public ones.
    ca: str | None = None
    #: Whether a TCP service first gets the visitor's address (PROXY protocol version 2).
    proxy_protocol: bool = False

    def __repr__(self) -> str:
        # Credentials are left out.
        return f"Service({self.name!r}, {self.target!r})"

    def _json(self) -> str:
        filtered: dict[str, Any] = {}
        if self.credentials:
            filtered["basic_auth"] = list(self.credentials)
        if self.networks:
            filtered["allow_cidr"] = list(self.networks)
        if self.host is not None:
            filtered["host_header"] = self.host
        fields: dict[str, Any] = {"name": self.name, "target": self.target, "filter": filtered}
        if self.allow is not None:
            fields["allow"] = list(self.allow)
        return json.dumps({**fields, "ca": self.ca, "proxy_protocol": self.proxy_protocol})


@dataclass(frozen=True)
class Link:
    """When an agent dials again, and how it keeps its link. Times are seconds."""

    relay_address: str | None = None
    relay_ca: str | None = None
    plain_relay: bool = False
    retry: bool = True
    give_up_after: float | None = None
    backoff_initial: float = 1.0
    backoff_max: float = 60.0
    backoff_multiplier: float = 2.0
    ping_interval: float = 10.0
    ping_timeout: float = 5.0
    token_lifetime: float = 3600.0

    def _json(self, relay: str) -> str:
        return json.dumps(
            {
                "relay": relay,
                "relay_address": self.relay_address or None,
                "relay_ca": self.relay_ca,
                "plain_relay": self.plain_relay,
                "retry": {
                    "no_retry": not self.retry,
                    "timeout": self.give_up_after,
                    "backoff_initial": self.backoff_initial,
                    "backoff_max": self.backoff_max,
                    "backoff_multiplier": round(self.backoff_multiplier * 1000),
                },
                "keepalive": {"ping_interval": self.ping_interval, "ping_timeout": self.ping_timeout},
                "token_lifetime": self.token_lifetime,
            }
        )


class Agent(Pumped[_native.Agent]):
    """Offers services at a relay. As a context manager, synchronous or not, it is online inside.

    ``services`` is a mapping from names to targets, or :class:`Service` objects; the first is the one at the bare address.
    Without an identity it makes one, which nobody will see again.
    """

    def __init__(
        self,
        relay: str,
        services: Mapping[str, str] | Iterable[Service],
        *,
        identity: Identity | None = None,
        names: Iterable[str] = (),
        link: Link | None = None,
        token: str | None = None,
        force: bool = False,
        delegation: tuple[str, bytes] | None = None,
    ) -> None:
        super().__init__()
        self.identity = identity or Identity.generate()
        self.relay = relay
        if isinstance(services, Mapping):
            services = [Service(str(name), target) for name, target in services.items()]
        self._services = {service.name: service for service in services}
        self._names = list(names)
        self._link = link or Link()
        self._login = None if token is None else (token, force)
        self._delegation = delegation
        self._state = "closed"
        self._urls: dict[str, str] = {}
        self._failure: TunnelError | None = None
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()

    # -- state ---------------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Who the agent is, ``G...``."""
        return self._native.address if self._native else self.identity.address

    @property
    def state(self) -> str:
        """``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._state

    @property
    def is_online(self) -> bool:
        """Whether visitors can come now."""
        return self._state == "connected"

    @property
    def urls(self) -> dict[str, str]:
        """Where each service is reached, as far as the relay has taken it."""
        with self._changed:
            return dict(self._urls)

    @property
    def url(self) -> str | None:
        """Where the first service is reached; ``None`` before the relay has taken it."""
        return next(iter(self.urls.values()), None)

    @property
    def failure(self) -> TunnelError | None:
        """Why it ended, unless it was asked to."""
        return self._failure

    def status(self) -> dict[str, Any]:
        """How things stand: the link, the services, and what is under way."""
        if self._native is None:
            raise AgentEnded("the agent does not run", "closed")
        status: dict[str, Any] = json.loads(self._native.status())
        return status

    # -- life ----------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts dialling; does not wait. Inside an event loop, callbacks run on its thread from now on."""
        with self._changed:
            if self._native is not None:
                raise AgentEnded("an agent starts once", "closed")
            self._native = _native.Agent(
                self.identity,
                self._link._json(self.relay),
                [service._json() for service in self._services.values()],
                names=self._names,
                login=self._login,
                delegation=self._delegation,
            )
            self._state = "connecting"
        self._start_pump(self._native.events(), "hvym-tunnel-agent")
        _process.started(self)

    def wait_online(self, timeout: float | None = ONLINE_TIMEOUT) -> str:
        """Waits until visitors can come, and says where."""
        self._wait_for(self._is_decided, timeout, "connecting")
        return self._online_url()

    async def online(self, timeout: float | None = ONLINE_TIMEOUT) -> str:
        """As :meth:`wait_online`, without blocking the loop."""
        await self._wait_for_async(self._is_decided, timeout, "connecting")
        return self._online_url()

    def __enter__(self) -> Agent:
        self.start()
        try:
            self.wait_online()
        except BaseException:
            self.close(0)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Agent:
        self.start()
        try:
            await self.online()
        except BaseException:
            await self.aclose(0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- services ------------------------------------------------------------------------------------------------------------

    def bind(self, service: str | Service, target: str | None = None) -> None:
        """Offers one more service, or replaces the one of its name. The event ``service_bound`` tells where it is reached."""
        if isinstance(service, str):
            if target is None:
                raise TypeError("a service needs a target")
            service = Service(service, target)
        with self._changed:
            if self._native is not None:
                self._native.bind(service._json(), service.name in self._services)
            self._services[service.name] = service

    def unbind(self, name: str) -> None:
        """Withdraws a service; what is under way finishes."""
        with self._changed:
            if self._native is not None:
                self._native.unbind(name)
            self._services.pop(name, None)
            self._urls.pop(name, None)

    # -- events --------------------------------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[Event]:
        """The events from this call on, until the agent has ended. A reader that falls behind loses the newest."""
        reader = _Reader(self)
        with self._changed:
            self._readers.add(reader)
        return reader

    # -- what the pump does --------------------------------------------------------------------------------------------------

    def _apply(self, event: Event) -> None:
        with self._changed:
            change = _CHANGES.get(event.kind)
            if change is not None:
                change(self, event)
            for reader in self._readers:
                reader.put(event)

    def _end(self) -> None:
        assert self._native is not None
        outcome = self._native.closed()
        with self._changed:
            self._state = "closed"
            if outcome is not None and not self._is_closing:
                code, message = outcome
                self._failure = from_code(code, message)
                logger.error("the agent has ended: %s", message)
        self._notify()

    def _handle_online(self, event: Event) -> None:
        self._urls = {service["service"]: service["url"] for service in event.services}
        self._state = "connected"
        logger.info("online at %s", next(iter(self._urls.values()), "no address"))

    def _handle_disconnected(self, event: Event) -> None:
        self._state = "reconnecting"
        logger.warning("not connected: %s; trying again in %.1f s", event.reason, event.retry_in)

    def _handle_reconnected(self, event: Event) -> None:
        self._state = "connected"
        logger.info("connected again after %.1f s", event.after)

    def _handle_bound(self, event: Event) -> None:
        self._urls[event.service["service"]] = event.service["url"]

    def _handle_lost(self, event: Event) -> None:
        self._urls.pop(event.service, None)
        logger.warning("the service %s is not at the relay: %s", event.service, event.fields.get("message", event.kind))

    def _is_decided(self) -> bool:
        return self._state == "connected" or self._state == "closed" or self._has_ended

    def _online_url(self) -> str:
        if self._failure is not None:
            raise self._failure
        if self._state != "connected":
            raise AgentEnded("the agent has ended", "closed")
        return self.url or ""

    def __repr__(self) -> str:
        return f"<Agent {self.address} {self._state}>"


class _Reader:
    """What waits for one reader of events. One that is dropped gets no more."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._waiting: deque[Event] = deque()

    def put(self, event: Event) -> None:
        if len(self._waiting) < EVENT_CAPACITY:
            self._waiting.append(event)

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Event:
        if not self._waiting:
            await self._agent._wait_for_async(self._is_ready, None, "an event")
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    def _is_ready(self) -> bool:
        return bool(self._waiting) or self._agent._has_ended


_CHANGES = {
    "online": Agent._handle_online,
    "reconnected": Agent._handle_reconnected,
    "disconnected": Agent._handle_disconnected,
    "service_bound": Agent._handle_bound,
    "service_refused": Agent._handle_lost,
    "service_taken_over": Agent._handle_lost,
}
