"""HTTP/1.1 (RFC 9112) for an application in this process: one connection, request after request.

It is spoken with the agent alone, which has a proxy's checks behind it; whatever else comes ends the connection. It knows no
application.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate

# The largest head of a request, bytes: more than any relay lets pass.
MAX_HEAD = 128 * 1024
# How much of a body is handed over at once, bytes.
CHUNK = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class ProtocolError(Exception):
    """What came is not HTTP/1.1."""


class Disconnected(ConnectionResetError):
    """The visitor has gone."""


class Wire:
    """Bytes of a connection, with what was read too far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._buffer = bytearray()
        #: Whether the other side was seen to be gone.
        self.is_lost = False

    async def fill(self) -> bool:
        """Reads on; ``False`` at the end."""
        data = await self._reader.read(CHUNK)
        self._buffer += data
        self.is_lost = self.is_lost or not data
        return bool(data)

    def is_full(self) -> bool:
        """Whether so much waits that nothing more is to be read ahead."""
        return len(self._buffer) >= MAX_HEAD

    async def until(self, separator: bytes, limit: int) -> bytes | None:
        """What comes up to and with ``separator``; ``None`` if the connection ends before it."""
        while (at := self._buffer.find(separator)) < 0:
            if len(self._buffer) > limit:
                raise ProtocolError("too long")
            if not await self.fill():
                return None
        return self._take(at + len(separator))

    async def some(self, limit: int) -> bytes:
        """At least one byte and at most ``limit``; nothing at the end."""
        if not self._buffer:
            await self.fill()
        return self._take(min(limit, len(self._buffer)))

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < count:
            if not await self.fill():
                raise Disconnected
        return self._take(count)

    async def write(self, data: bytes) -> None:
        """Writes, and waits while too much is on its way."""
        if self.writer.is_closing():
            self.is_lost = True
            raise Disconnected
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError as error:
            self.is_lost = True
            raise Disconnected from error

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


@dataclass(frozen=True)
class Request:
    """The head of a request."""

    method: str
    target: bytes
    version: str
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""
        return [value for known, value in self.headers if known == name]

    def tokens(self, name: bytes) -> set[bytes]:
        """The members of a list field, lower case."""
        return {token.strip().lower() for value in self.values(name) for token in value.split(b",")}

    @property
    def wants_websocket(self) -> bool:
        return b"upgrade" in self.tokens(b"connection") and b"websocket" in self.tokens(b"upgrade")

    @property
    def keeps_alive(self) -> bool:
        return self.version == "1.1" and b"close" not in self.tokens(b"connection")


async def read_request(wire: Wire) -> Request | None:
    """The next request; ``None`` if the connection ends before it."""
    head = await wire.until(b"\r\n\r\n", MAX_HEAD)
    if head is None:
        return None
    first, *lines = head[:-4].split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ProtocolError("not HTTP/1.1")
    headers: Headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise ProtocolError("not a field")
        headers.append((name.lower(), value.strip(b" \t")))
    return Request(parts[0].decode("ascii", "replace"), parts[1], parts[2][5:].decode(), headers)


class Exchange:
    """One request and its response."""

    def __init__(self, wire: Wire, request: Request) -> None:
        self._wire, self.request = wire, request
        self._is_chunked = b"chunked" in request.tokens(b"transfer-encoding")
        lengths = set(request.values(b"content-length"))
        if len(lengths) > 1 or (lengths and self._is_chunked):
            raise ProtocolError("two lengths")
        length = next(iter(lengths), b"0")
        if not length.isdigit():
            raise ProtocolError("not a length")
        self._left = 0 if self._is_chunked else int(length)
        self._is_body_done = not self._is_chunked and self._left == 0
        self._must_continue = b"100-continue" in request.tokens(b"expect")
        self._head: bytes | None = None
        self._writes_chunks = False
        self._expected: int | None = None
        self.has_started = False
        self.done = asyncio.Event()

    # -- the request ---------------------------------------------------------------------------------------------------------

    async def read(self, limit: int = CHUNK) -> bytes:
        """A piece of the body; nothing at its end."""
        if self._is_body_done:
            return b""
        if self._must_continue and not self.has_started:
            self._must_continue = False
            await self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._is_chunked and self._left == 0:
            await self._next_chunk()
            if self._is_body_done:
                return b""
        data = await self._wire.some(min(limit, self._left))
        if not data:
            raise Disconnected
        self._left -= len(data)
        if self._left == 0:
            if self._is_chunked:
                await self._wire.exactly(2)
            else:
                self._is_body_done = True
        return data

    @property
    def is_lost(self) -> bool:
        """Whether the visitor was seen to be gone."""
        return self._wire.is_lost

    @property
    def is_body_done(self) -> bool:
        return self._is_body_done

    async def _next_chunk(self) -> None:
        line = await self._wire.until(b"\r\n", 1024)
        if line is None:
            raise Disconnected
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise ProtocolError("not a chunk") from error
        if self._left == 0:
            # Trailer fields are left out.
            while line not in (None, b"\r\n"):
                line = await self._wire.until(b"\r\n", MAX_HEAD)
            self._is_body_done = True

    async def gone(self) -> None:
        """Waits until the visitor has gone, or the response was sent."""
        done = asyncio.ensure_future(self.done.wait())
        try:
            while not self.done.is_set():
                if self._wire.is_full():
                    await done
                    return
                fill = asyncio.ensure_future(self._wire.fill())
                await asyncio.wait({fill, done}, return_when=asyncio.FIRST_COMPLETED)
                if not fill.done():
                    fill.cancel()
                elif fill.exception() is not None or not fill.result():
                    return
        finally:
            done.cancel()

    # -- the response --------------------------------------------------------------------------------------------------------

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], reason: str | None = None) -> None:
        """The head, which is sent with the first of the body."""
        if self.has_started:
            raise RuntimeError("the response has been started")
        self.has_started = True
        lines, names = [], set()
        for name, value in headers:
            if b"\r" in name + value or b"\n" in name + value:
                raise ValueError("a header field has a line break in it")
            names.add(name.lower())
            if name.lower() == b"content-length":
                self._expected = int(value)
            if name.lower() not in (b"connection", b"transfer-encoding", b"keep-alive"):
                lines.append(name + b": " + value + b"\r\n")
        self._has_body = self.request.method != "HEAD" and status >= 200 and status not in (204, 304)
        self._has_length = b"content-length" in names
        if b"date" not in names:
            lines.append(b"date: " + formatdate(usegmt=True).encode() + b"\r\n")
        self._lines, self._status = lines, status
        self._reason = reason if reason is not None else _reason(status)

    async def send(self, data: bytes, more: bool) -> None:
        """A piece of the body, and whether more follows."""
        if not self.has_started:
            raise RuntimeError("the response has no head yet")
        if self.done.is_set():
            raise RuntimeError("the response has been sent")
        if self._head is None:
            self._write_head(len(data), more)
        head, self._head = self._head or b"", b""
        out = head
        if self._has_body:
            if self._expected is not None:
                self._expected -= len(data)
                if self._expected < 0:
                    raise RuntimeError("the body is longer than its Content-Length")
            if self._writes_chunks and data:
                out += b"%x\r\n" % len(data) + data + b"\r\n"
            else:
                out += data
            if self._writes_chunks and not more:
                out += b"0\r\n\r\n"
        if out:
            await self._wire.write(out)
        if not more:
            if self._has_body and self._expected:
                raise RuntimeError("the body is shorter than its Content-Length")
            self.done.set()

    def _write_head(self, first: int, more: bool) -> None:
        lines = self._lines
        if self._has_body and not self._has_length:
            if more and self.request.version == "1.1":
                self._writes_chunks = True
                lines.append(b"transfer-encoding: chunked\r\n")
            elif not more:
                lines.append(b"content-length: %d\r\n" % first)
        if not self.keeps_alive:
            lines.append(b"connection: close\r\n")
        status = f"HTTP/1.1 {self._status} {self._reason}\r\n".encode("latin-1")
        self._head = status + b"".join(lines) + b"\r\n"

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may come on the same connection."""
        return self.request.keeps_alive


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
