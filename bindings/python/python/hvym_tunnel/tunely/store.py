"""The tunnels of a server, in the table of Tunely's own SQLite database."""

from __future__ import annotations

import os
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import InvalidSettings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tunnels (
    id INTEGER NOT NULL PRIMARY KEY,
    domain VARCHAR(255) NOT NULL UNIQUE,
    token VARCHAR(64) NOT NULL UNIQUE,
    name VARCHAR(100),
    description TEXT,
    mode VARCHAR(10) NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME,
    last_connected_at DATETIME,
    total_requests INTEGER NOT NULL
)
"""


@dataclass
class Tunnel:
    """One tunnel. Its token is in no ``repr``."""

    domain: str
    token: str
    name: str | None
    description: str | None
    enabled: bool
    created_at: str

    def __repr__(self) -> str:
        return f"Tunnel({self.domain!r})"


class TunnelStore:
    """The tunnels by their names. One thread uses it."""

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        if not scheme.startswith("sqlite"):
            raise InvalidSettings("the tunnels are kept in SQLite: sqlite:///./data/tunnels.db", "invalid")
        # `sqlite://` alone is a database in memory.
        name = path[1:] or ":memory:"
        if name != ":memory:":
            file = Path(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            # Its tokens are the owner's alone.
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        self._database.execute(_SCHEMA)

    def all(self) -> list[Tunnel]:
        columns = "domain, token, name, description, enabled, created_at"
        rows = self._database.execute(f"SELECT {columns} FROM tunnels ORDER BY domain")
        return [Tunnel(row[0], row[1], row[2], row[3], bool(row[4]), str(row[5]).replace(" ", "T")) for row in rows]

    def get(self, domain: str) -> Tunnel | None:
        return next((tunnel for tunnel in self.all() if tunnel.domain == domain), None)

    def create(self, domain: str, name: str | None, description: str | None, token: str | None = None) -> Tunnel:
        """Raises :class:`sqlite3.IntegrityError` for a name that is taken."""
        self._database.execute(
            "INSERT INTO tunnels (domain, token, name, description, mode, enabled, created_at, total_requests) "
            "VALUES (?, ?, ?, ?, 'http', 1, ?, 0)",
            (domain, token or new_token(), name, description, datetime.now().isoformat(" ", "seconds")),
        )
        made = self.get(domain)
        assert made is not None
        return made

    def update(self, domain: str, **values: object) -> None:
        for column in values:
            if column not in ("name", "description", "enabled", "token"):
                raise ValueError(column)
        sets = ", ".join(f"{column} = ?" for column in values)
        self._database.execute(f"UPDATE tunnels SET {sets} WHERE domain = ?", (*values.values(), domain))

    def delete(self, domain: str) -> bool:
        return self._database.execute("DELETE FROM tunnels WHERE domain = ?", (domain,)).rowcount > 0

    def close(self) -> None:
        self._database.close()


def new_token() -> str:
    """A token as Tunely makes them."""
    return "tun_" + secrets.token_urlsafe(32)
