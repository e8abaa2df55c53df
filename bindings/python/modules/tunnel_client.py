"""A tunnel client with a Stellar wallet, by the names that desktop programs import. It serves local ports at a relay.

Callbacks run on the thread of the event loop that runs :meth:`HVYMTunnelClient.connect`; an exception in one ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hvym_tunnel import Agent, Event, TunnelError, wallet as wallets
from hvym_tunnel.agent import Link, Service

# How long requests that are under way may take to finish at a disconnect, seconds.
DISCONNECT_TIMEOUT = 1.0


class TunnelState(Enum):
    """Tunnel connection states."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    ERROR = "error"


@dataclass
class TunnelEndpoint:
    """The public endpoint of a tunnel."""

    url: str
    stellar_address: str
    server_address: str
    services: list[str]


@dataclass
class TunnelConfig:
    """Tunnel configuration. Times are seconds."""

    server_url: str = "wss://tunnel.heavymeta.art/connect"
    server_address: str = ""
    services: list[str] = None  # type: ignore[assignment]
    reconnect_delay: float = 1.0
    max_reconnect_delay: float = 60.0
    reconnect_multiplier: float = 2.0
    ping_interval: float = 30.0
    ping_timeout: float = 10.0
    jwt_lifetime: int = 3600
    local_pintheon_port: int = 9998

    def __post_init__(self) -> None:
        if self.services is None:
            self.services = ["pintheon"]


class HVYMTunnelClient:
    """Connects a wallet's services to a relay, and connects again until it is told to stop."""

    def __init__(self, wallet: Any, config: TunnelConfig | None = None) -> None:
        self.wallet = wallet
        self.config = config or TunnelConfig()
        self._state = TunnelState.DISCONNECTED
        self._endpoint: TunnelEndpoint | None = None
        self._port_bindings: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop_requested = False
        self._is_running = False
        self._agent: Agent | None = None
        self._dial: asyncio.TimerHandle | None = None
        self._logger = logging.getLogger("HVYMTunnelClient")
        self.on_state_changed: Callable[[TunnelState], object] | None = None
        self.on_connected: Callable[[TunnelEndpoint], object] | None = None
        self.on_disconnected: Callable[[], object] | None = None
        self.on_error: Callable[[str], object] | None = None
        self.on_endpoint_ready: Callable[[str], object] | None = None

    @property
    def state(self) -> TunnelState:
        return self._state

    @property
    def endpoint(self) -> TunnelEndpoint | None:
        return self._endpoint

    @property
    def stellar_address(self) -> str:
        return wallets.address(self.wallet)

    @property
    def is_connected(self) -> bool:
        return self._state == TunnelState.CONNECTED

    # -- life ----------------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Runs until :meth:`disconnect`, or until the relay says that there is no use in trying again."""
        self._stop_requested = False
        await self._run()

    async def disconnect(self) -> None:
        """Ends :meth:`connect`, and closes the connection."""
        with self._lock:
            self._stop_requested = True
            agent, is_running = self._agent, self._is_running
        if agent is not None:
            await agent.aclose(DISCONNECT_TIMEOUT)
        if not is_running:
            self._endpoint = None
            self._set_state(TunnelState.DISCONNECTED)

    def disconnect_sync(self) -> None:
        """As :meth:`disconnect`, from any thread. Returns when the connection is closed, in bounded time."""
        with self._lock:
            self._stop_requested = True
            agent = self._agent
        if agent is not None:
            agent.close(DISCONNECT_TIMEOUT)

    async def _run(self) -> None:
        with self._lock:
            if self._is_running:
                raise RuntimeError("the client is connected or connecting")
            self._is_running = True
        self._set_state(TunnelState.CONNECTING)
        try:
            await self._run_agent()
        except TunnelError as error:
            self._fail(str(error))
        finally:
            self._cancel_dial()
            with self._lock:
                self._is_running, self._agent = False, None
            self._endpoint = None
            self._set_state(TunnelState.DISCONNECTED)
            self._call(self.on_disconnected)

    async def _run_agent(self) -> None:
        agent = self._make_agent()
        events = agent.events()
        with self._lock:
            if self._stop_requested:
                return
            self._agent = agent
            agent.start()
        try:
            async for event in events:
                self._handle(event)
        finally:
            await agent.aclose(DISCONNECT_TIMEOUT)
        if agent.failure is not None:
            raise agent.failure

    def _make_agent(self) -> Agent:
        config = self.config
        identity, delegation = wallets.identity(self.wallet)
        link = Link(
            relay_address=config.server_address or None,
            backoff_initial=config.reconnect_delay,
            backoff_max=config.max_reconnect_delay,
            backoff_multiplier=config.reconnect_multiplier,
            ping_interval=config.ping_interval,
            ping_timeout=config.ping_timeout,
            token_lifetime=config.jwt_lifetime,
        )
        return Agent(config.server_url, self._services(), identity=identity, link=link, delegation=delegation)

    def _services(self) -> list[Service]:
        """The services with a port: those that are asked for, in their order, then the others."""
        ports = dict(self._port_bindings)
        ports.setdefault("pintheon", self.config.local_pintheon_port)
        asked = [name for name in self.config.services if name in ports]
        for name in set(self.config.services) - set(asked):
            self._logger.warning("the service %s has no local port", name)
        names = dict.fromkeys([*asked, *self._port_bindings])
        return [Service(name, f"http://127.0.0.1:{ports[name]}") for name in names]

    # -- services ------------------------------------------------------------------------------------------------------------

    def bind_port(self, service: str, local_port: int) -> None:
        """Serves a local port by this name, now and after every reconnection."""
        self._port_bindings[service] = local_port
        with self._lock:
            agent = self._agent
        if agent is not None:
            agent.bind(Service(service, f"http://127.0.0.1:{local_port}"))

    def unbind_port(self, service: str) -> None:
        """Serves it no more."""
        if self._port_bindings.pop(service, None) is None:
            return
        with self._lock:
            agent = self._agent
        if agent is not None:
            agent.unbind(service)

    # -- what happens --------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        if event.kind == "online":
            self._connected(event.services[0]["url"] if event.services else self._build_endpoint_url())
        elif event.kind == "reconnected":
            self._connected(event.url)
        elif event.kind == "disconnected":
            was_connected = self.is_connected
            self._cancel_dial()
            if not was_connected:
                self._fail(event.reason)
            self._set_state(TunnelState.RECONNECTING)
            loop = asyncio.get_running_loop()
            self._dial = loop.call_later(event.retry_in, self._set_state, TunnelState.CONNECTING)
        elif event.kind == "service_refused":
            self._call(self.on_error, f"the service {event.service} is refused: {event.message}")

    def _connected(self, url: str) -> None:
        self._cancel_dial()
        if self._state != TunnelState.CONNECTING:
            self._set_state(TunnelState.CONNECTING)
        self._set_state(TunnelState.AUTHENTICATING)
        url = url.rstrip("/")
        services = [service.name for service in self._services()]
        self._endpoint = TunnelEndpoint(url, self.stellar_address, self.config.server_address, services)
        self._set_state(TunnelState.CONNECTED)
        self._call(self.on_connected, self._endpoint)
        self._call(self.on_endpoint_ready, url)

    def _fail(self, message: str) -> None:
        self._set_state(TunnelState.ERROR)
        self._call(self.on_error, message)

    def _cancel_dial(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None

    def _set_state(self, state: TunnelState) -> None:
        old, self._state = self._state, state
        self._logger.info("State changed: %s -> %s", old.value, state.value)
        self._call(self.on_state_changed, state)

    def _call(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            self._logger.exception("a callback failed")

    # -- the wallet ----------------------------------------------------------------------------------------------------------

    def _create_jwt(self, challenge: str | None = None) -> str:
        """The login token, signed by the wallet."""
        config = self.config
        return wallets.token(
            self.wallet,
            config.server_address,
            services=config.services,
            lifetime=config.jwt_lifetime,
            challenge=challenge,
        )

    def _build_endpoint_url(self) -> str:
        """The endpoint by the address of the wallet and the host of the server."""
        host = self.config.server_url.partition("://")[2].partition("/")[0] or "tunnel.heavymeta.art"
        return f"https://{self.stellar_address}.{host}"
