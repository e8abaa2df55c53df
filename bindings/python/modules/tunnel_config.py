"""The settings of a tunnel in a TinyDB database, where a desktop program keeps its own."""

from __future__ import annotations

import json
import logging
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunnel_client import TunnelConfig

_TYPE = "tunnel_config"
_DEFAULTS: dict[str, Any] = {
    "server_url": "wss://tunnel.heavymeta.art/connect",
    "server_address": "",
    "auto_connect": False,
    "enabled": True,
    "services": ["pintheon"],
    "port_bindings": {"pintheon": 9998},
}
# The largest answer of a relay about itself, bytes.
_MAX_INFO = 64 * 1024

_logger = logging.getLogger("TunnelConfig")


class TunnelConfigStore:
    """One record of the database, of the type ``tunnel_config``."""

    def __init__(self, db: Any) -> None:
        from tinydb import Query

        self.db = db
        self.query = Query()
        self._ensure_table()

    def _ensure_table(self) -> None:
        if not self.db.search(self.query.type == _TYPE):
            self.db.insert({"type": _TYPE, **json.loads(json.dumps(_DEFAULTS))})

    def get_config(self) -> dict[str, Any]:
        """The whole record."""
        found = self.db.search(self.query.type == _TYPE)
        return found[0] if found else {}

    def set_config(self, **values: Any) -> None:
        """Changes some of it."""
        self.db.update(values, self.query.type == _TYPE)

    def _get(self, key: str) -> Any:
        return self.get_config().get(key, _DEFAULTS[key])

    @property
    def server_url(self) -> str:
        return str(self._get("server_url"))

    @server_url.setter
    def server_url(self, value: str) -> None:
        self.set_config(server_url=value)

    @property
    def server_address(self) -> str:
        return str(self._get("server_address"))

    @server_address.setter
    def server_address(self, value: str) -> None:
        self.set_config(server_address=value)

    @property
    def auto_connect(self) -> bool:
        return bool(self._get("auto_connect"))

    @auto_connect.setter
    def auto_connect(self, value: bool) -> None:
        self.set_config(auto_connect=value)

    @property
    def enabled(self) -> bool:
        return bool(self._get("enabled"))

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self.set_config(enabled=value)

    @property
    def services(self) -> list[str]:
        return list(self._get("services"))

    @services.setter
    def services(self, value: list[str]) -> None:
        self.set_config(services=value)

    @property
    def port_bindings(self) -> dict[str, int]:
        return dict(self._get("port_bindings"))

    def set_port_binding(self, service: str, port: int) -> None:
        self.set_config(port_bindings={**self.port_bindings, service: port})

    def remove_port_binding(self, service: str) -> None:
        self.set_config(port_bindings={name: port for name, port in self.port_bindings.items() if name != service})

    def get_last_endpoint(self) -> str | None:
        return self.get_config().get("last_endpoint")

    def set_last_endpoint(self, url: str) -> None:
        self.set_config(last_endpoint=url)

    def clear_last_endpoint(self) -> None:
        self.set_config(last_endpoint=None)

    @property
    def is_configured(self) -> bool:
        """Whether there is all that a tunnel needs beside a wallet."""
        return bool(self.server_url and self.server_address)

    def to_tunnel_config(self) -> TunnelConfig:
        """The settings of a client."""
        from tunnel_client import TunnelConfig

        config = TunnelConfig(self.server_url, self.server_address, self.services)
        config.local_pintheon_port = self.port_bindings.get("pintheon", config.local_pintheon_port)
        return config

    def discover_server_address(self, timeout: float = 10.0) -> str | None:
        """Asks the relay for its address if there is none yet, and keeps it. Blocks."""
        if not self.server_address:
            found = fetch_server_address(self.server_url, timeout)
            if found:
                self.server_address = found
        return self.server_address or None


def fetch_server_address(server_url: str, timeout: float = 10.0) -> str | None:
    """What the relay at this URL says that its address is (``/info``); ``None`` if it says nothing. Blocks."""
    parts = urllib.parse.urlsplit(server_url)
    scheme = {"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme)
    path = parts.path[: -len("/connect")] if parts.path.endswith("/connect") else parts.path.rstrip("/")
    url = urllib.parse.urlunsplit((scheme, parts.netloc, f"{path}/info", "", ""))
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            address = json.loads(response.read(_MAX_INFO)).get("server_address")
    except (OSError, ValueError, AttributeError) as error:
        _logger.warning("the relay does not tell its address: %s", error)
        return None
    return address if isinstance(address, str) and address.startswith("G") and len(address) == 56 else None


def update_gateway(
    endpoint_url: str, gateway_api: str = "https://127.0.0.1:9999/update_gateway", timeout: float = 5.0
) -> bool:
    """Tells Pintheon on this machine its public address. Whether it took it. Blocks.

    Its certificate is not verified where it is on this machine, since nobody certifies that.
    """
    parts = urllib.parse.urlsplit(gateway_api)
    context = ssl.create_default_context()
    if parts.hostname in ("127.0.0.1", "::1", "localhost"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    data = urllib.parse.urlencode({"gateway": endpoint_url}).encode()
    try:
        with urllib.request.urlopen(gateway_api, data, timeout=timeout, context=context) as response:
            return 200 <= int(response.status) < 300
    except (OSError, urllib.error.URLError) as error:
        _logger.warning("Pintheon does not take the address: %s", error)
        return False
