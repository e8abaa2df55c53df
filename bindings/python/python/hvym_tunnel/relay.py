"""A relay inside this process: agents connect to it, and visitors reach services through it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from . import _native, _process
from ._native import Identity
from ._pump import Pumped
from .errors import AgentEnded


class Relay(Pumped[_native.Relay]):
    """A relay. As a context manager, synchronous or not, it serves inside.

    It listens on this machine alone unless ``listen`` says otherwise, and then needs ``allow`` or ``open``. Port 0 takes a free
    one. ``options`` are groups of the relay's options by their names in its configuration file, as
    ``{"limits": {"connections": 100}}``; ``database`` is the URL of one with the tunnels of Tunely's agents. Events are
    ``agent_joined`` and ``agent_left``.
    """

    def __init__(
        self,
        *,
        listen: str = "127.0.0.1:0",
        domain: str = "localhost",
        identity: Identity | None = None,
        allow: Sequence[str] = (),
        open: bool = False,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        database: str | None = None,
    ) -> None:
        super().__init__()
        self.identity = identity or Identity.generate()
        groups: dict[str, dict[str, Any]] = {name: dict(group) for name, group in (options or {}).items()}
        groups["ingress"] = {"listen": listen, "domain": domain, **groups.get("ingress", {})}
        groups["access"] = {"allow_agent": list(allow), "open": open, **groups.get("access", {})}
        self._options, self._database = groups, database

    def start(self) -> None:
        """Listens, and serves from now on."""
        with self._changed:
            if self._native is not None:
                raise AgentEnded("a relay starts once", "closed")
            self._native = _native.Relay(self.identity, json.dumps(self._options), self._database)
        self._start_pump(self._native.events(), "hvym-tunnel-relay")
        _process.started(self)

    @property
    def address(self) -> str:
        """Its identity, which agents can pin."""
        return self.identity.address

    @property
    def listen(self) -> tuple[str, int]:
        """Where it listens: an IP address and a port."""
        return self._running().listen

    @property
    def url(self) -> str:
        """What agents on this machine dial."""
        host, port = self.listen
        if host in ("0.0.0.0", "::"):
            host = "127.0.0.1"
        has_tls = self._running().urls[1].startswith("wss:")
        return self._running().urls[1] if has_tls else f"ws://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def agent_url(self) -> str:
        """What agents elsewhere dial, by its domain."""
        return self._running().urls[1]

    @property
    def public_url(self) -> str:
        """Its own page, below whose host the services are."""
        return self._running().urls[0]

    def status(self) -> dict[str, Any]:
        """Where it is reached, and its counters."""
        status: dict[str, Any] = json.loads(self._running().status())
        return status

    def apply(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Takes over other options while it runs, as far as they can change then: agents by token, origins, visitors' limits."""
        changed = {**self._options, **{name: dict(group) for name, group in options.items()}}
        self._running().apply(json.dumps(changed))
        self._options = changed

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Relay:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _end(self) -> None:
        assert self._native is not None
        self._native.closed()

    def _running(self) -> _native.Relay:
        if self._native is None:
            raise AgentEnded("the relay does not run", "closed")
        return self._native

    def __repr__(self) -> str:
        return f"<Relay {self.identity.address}>"
