"""What callers of a server and callbacks of a client get, with the fields that Tunely's messages have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ForwardResponse:
    """The response of a service. ``status`` is 503 without an agent and 504 after the time, with ``error``."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    duration_ms: int = 0
    error: str | None = None


@dataclass
class StreamStartMessage:
    """The head of a streamed response."""

    id: str
    status: int
    headers: dict[str, str]
    type: str = "stream_start"


@dataclass
class StreamChunkMessage:
    """A piece of its body. ``encoding`` is ``base64`` for one that is not text."""

    id: str
    data: str
    sequence: int
    encoding: str = "plain"
    type: str = "stream_chunk"


@dataclass
class StreamEndMessage:
    """Its end, in good order if there is no ``error``."""

    id: str
    error: str | None
    duration_ms: int
    total_chunks: int
    type: str = "stream_end"


@dataclass
class TunnelRequest:
    """A request of a visitor, once it was answered."""

    method: str
    path: str
    status: int
    duration_ms: int
    id: str = ""
