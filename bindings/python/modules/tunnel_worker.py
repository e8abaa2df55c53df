"""The tunnel client on a thread of Qt, with signals: for PyQt5, PyQt6 and PySide6.

The binding is the one that the program has imported, or that the variable ``QT_API`` names, or the first that is installed.
Without any, this module can be imported, and its classes say what is missing.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from typing import Any

from hvym_tunnel import wallet as wallets
from tunnel_client import HVYMTunnelClient, TunnelConfig, TunnelEndpoint, TunnelState

_BINDINGS = ("PyQt5", "PyQt6", "PySide6")
# How long stop() waits for the thread, milliseconds.
STOP_TIMEOUT = 5000


def _qt() -> Any:
    loaded = [name for name in _BINDINGS if f"{name}.QtCore" in sys.modules]
    named = [name for name in _BINDINGS if name.lower() == os.environ.get("QT_API", "").lower()]
    for name in dict.fromkeys([*loaded, *named, *_BINDINGS]):
        try:
            return importlib.import_module(f"{name}.QtCore")
        except ImportError:
            continue
    return None


_core: Any = _qt()

if _core is None:

    class _Missing:
        def __init__(self, *_arguments: object, **_options: object) -> None:
            raise ImportError("install PyQt5, PyQt6 or PySide6 to use this class")

    QThread: Any = _Missing
    QObject: Any = _Missing

    def pyqtSignal(*_types: type) -> Any:
        return None

else:
    QThread, QObject = _core.QThread, _core.QObject
    pyqtSignal = getattr(_core, "pyqtSignal", None) or _core.Signal


class TunnelWorker(QThread):
    """The thread of one connection."""

    state_changed = pyqtSignal(str)
    connected = pyqtSignal(str)
    disconnected = pyqtSignal()
    error = pyqtSignal(str)
    endpoint_ready = pyqtSignal(str)

    def __init__(self, wallet: Any, config: TunnelConfig | None = None, parent: Any = None) -> None:
        super().__init__(parent)
        self.wallet = wallet
        self.config = config or TunnelConfig()
        self._logger = logging.getLogger("TunnelWorker")
        self._client = client = HVYMTunnelClient(self.wallet, self.config)
        client.on_state_changed = self._on_state_changed
        client.on_connected = self._on_connected
        client.on_disconnected = self._on_disconnected
        client.on_error = self._on_error
        client.on_endpoint_ready = self._on_endpoint_ready

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def endpoint_url(self) -> str | None:
        endpoint = self._client.endpoint
        return endpoint.url if endpoint else None

    @property
    def stellar_address(self) -> str:
        return self._client.stellar_address

    def bind_port(self, service: str, local_port: int) -> None:
        """Serves a local port by this name."""
        self._client.bind_port(service, local_port)

    def unbind_port(self, service: str) -> None:
        """Serves it no more."""
        self._client.unbind_port(service)

    def run(self) -> None:
        """The thread: an event loop that ends with the connection."""
        try:
            # Not connect(), which would take back a stop() that came before.
            asyncio.run(self._client._run())
        except Exception as error:
            self._logger.exception("the tunnel has failed")
            self.error.emit(str(error))

    def stop(self) -> bool:
        """Closes the connection, and waits for the thread for at most five seconds. Whether it has ended."""
        self._client.disconnect_sync()
        return bool(self.wait(STOP_TIMEOUT))

    def _on_state_changed(self, state: TunnelState) -> None:
        self.state_changed.emit(state.value)

    def _on_connected(self, endpoint: TunnelEndpoint) -> None:
        self.connected.emit(endpoint.url)

    def _on_disconnected(self) -> None:
        self.disconnected.emit()

    def _on_error(self, message: str) -> None:
        self.error.emit(message)

    def _on_endpoint_ready(self, url: str) -> None:
        self.endpoint_ready.emit(url)


class TunnelManager(QObject):
    """A tunnel that is started and stopped, with the signals of its workers."""

    state_changed = pyqtSignal(str)
    connected = pyqtSignal(str)
    disconnected = pyqtSignal()
    error = pyqtSignal(str)
    endpoint_ready = pyqtSignal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._wallet: Any = None
        self._worker: TunnelWorker | None = None
        self._config = TunnelConfig()
        self._logger = logging.getLogger("TunnelManager")
        self._default_bindings = {"pintheon": self._config.local_pintheon_port}

    def set_wallet(self, wallet: Any) -> None:
        """Whose services they are; takes effect at the next start."""
        self._wallet = wallet

    def set_server(self, server_url: str, server_address: str) -> None:
        """Which relay, and its address."""
        self._config.server_url = server_url
        self._config.server_address = server_address

    def set_services(self, services: list[str]) -> None:
        """Which services are asked for."""
        self._config.services = services

    def add_port_binding(self, service: str, port: int) -> None:
        """Serves a local port by this name, also while the tunnel runs."""
        self._default_bindings[service] = port
        if self._worker is not None and self._worker.isRunning():
            self._worker.bind_port(service, port)

    @property
    def is_connected(self) -> bool:
        return self._worker is not None and self._worker.is_connected

    @property
    def endpoint_url(self) -> str | None:
        return self._worker.endpoint_url if self._worker is not None else None

    @property
    def stellar_address(self) -> str | None:
        if self._wallet is None:
            return None
        return wallets.address(self._wallet)

    def start_tunnel(self) -> bool:
        """Whether it was started: not without a wallet and the relay's address, and not while it runs."""
        missing = None
        if not self._wallet:
            missing = "No wallet configured for tunnel authentication"
        elif not self._config.server_address:
            missing = "No server address configured for the tunnel"
        elif self._worker is not None and self._worker.isRunning():
            missing = "Tunnel already running"
        if missing is not None:
            self._logger.error("the tunnel is not started: %s", missing)
            self.error.emit(missing)
            return False
        worker = self._worker = TunnelWorker(self._wallet, self._config, self)
        for name in ("state_changed", "connected", "disconnected", "error", "endpoint_ready"):
            # From signal to signal, so that they arrive on this object's thread, in their order.
            getattr(worker, name).connect(getattr(self, name))
        worker.finished.connect(self._forget_finished)
        worker.finished.connect(worker.deleteLater)
        for service, port in self._default_bindings.items():
            worker.bind_port(service, port)
        worker.start()
        return True

    def _forget_finished(self) -> None:
        if self._worker is not None and self._worker.isFinished():
            self._worker = None

    def stop_tunnel(self) -> None:
        """Ends it. Returns in bounded time; signals that were sent before still arrive."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
