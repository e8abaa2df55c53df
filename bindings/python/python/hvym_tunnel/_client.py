"""HTTP/1.1 requests and WebSockets to a relay in this process, which is trusted. It knows no application."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ._http import CHUNK, MAX_HEAD, Disconnected, Headers, ProtocolError, Wire
from ._websocket import WebSocket, _masked


@dataclass
class Response:
    """The head of a response, and its body as it comes."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]

    def value(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for known, value in self.headers if known == name), None)


class Connection:
    """One connection, for one request or one WebSocket."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @classmethod
    async def open(cls, at: tuple[str, int]) -> Connection:
        reader, writer = await asyncio.open_connection(*at)
        return cls(Wire(reader, writer))

    def close(self) -> None:
        self.wire.writer.close()

    async def request(
        self,
        method: str,
        target: str | bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | bytes = b"",
        length: int | None = None,
    ) -> Response:
        """Sends a request with its body, and reads the head of the response. ``length`` is that of a body in pieces, if known."""
        raw = target.encode("ascii") if isinstance(target, str) else target
        head = method.encode("ascii") + b" " + raw + b" HTTP/1.1\r\n"
        fields = [*headers, (b"connection", b"close")]
        if isinstance(body, bytes):
            fields.append((b"content-length", b"%d" % len(body)))
            await self.wire.write(head + _block(fields) + body)
        elif length is not None:
            fields.append((b"content-length", b"%d" % length))
            await self.wire.write(head + _block(fields))
            async for data in body:
                await self.wire.write(data)
        else:
            fields.append((b"transfer-encoding", b"chunked"))
            await self.wire.write(head + _block(fields))
            async for data in body:
                if data:
                    await self.wire.write(b"%x\r\n" % len(data) + data + b"\r\n")
            await self.wire.write(b"0\r\n\r\n")
        status, received = await self._head()
        while 100 <= status < 200:
            status, received = await self._head()
        has_body = method != "HEAD" and status not in (204, 304)
        return Response(status, received, self._body(received) if has_body else _nothing())

    async def upgrade(self, target: bytes, headers: Headers) -> ClientWebSocket:
        """Opens a WebSocket."""
        key = base64.b64encode(os.urandom(16))
        fields = [
            *headers,
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", key),
        ]
        await self.wire.write(b"GET " + target + b" HTTP/1.1\r\n" + _block(fields))
        status, received = await self._head()
        if status != 101:
            raise Disconnected(f"the relay answered {status}")
        chosen = dict(received).get(b"sec-websocket-protocol")
        return ClientWebSocket(self.wire, chosen.decode("latin-1") if chosen else None)

    async def _head(self) -> tuple[int, Headers]:
        head = await self.wire.until(b"\r\n\r\n", MAX_HEAD)
        if head is None:
            raise Disconnected("no response")
        first, *lines = head[:-4].split(b"\r\n")
        fields = [line.partition(b":") for line in lines]
        return int(first.split(b" ")[1]), [(name.lower(), value.strip()) for name, _, value in fields]

    async def _body(self, headers: Headers) -> AsyncIterator[bytes]:
        found = dict(headers)
        if b"chunked" in found.get(b"transfer-encoding", b"").lower():
            while True:
                line = await self.wire.until(b"\r\n", 1024)
                if line is None:
                    raise Disconnected
                left = int(line.split(b";")[0], 16)
                if left == 0:
                    return
                while left:
                    data = await self._some(min(left, CHUNK))
                    left -= len(data)
                    yield data
                await self.wire.exactly(2)
        elif b"content-length" in found:
            left = int(found[b"content-length"])
            while left:
                data = await self._some(min(left, CHUNK))
                left -= len(data)
                yield data
        else:
            while data := await self.wire.some(CHUNK):
                yield data

    async def _some(self, limit: int) -> bytes:
        data = await self.wire.some(limit)
        if not data:
            raise Disconnected("the response is not whole")
        return data


class ClientWebSocket(WebSocket):
    """The client's side: what it sends is masked (RFC 6455 section 5.3), what it gets is not."""

    def __init__(self, wire: Wire, subprotocol: str | None) -> None:
        self._wire, self._is_closed = wire, False
        #: What the server chose of what was offered.
        self.subprotocol = subprotocol

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, length = await self._wire.exactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self._wire.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._wire.exactly(8))
        elif length > 127:
            raise ProtocolError("a masked frame of a server")
        return bool(first & 0x80), first & 0x0F, await self._wire.exactly(length)

    async def _send(self, opcode: int, payload: bytes) -> None:
        length, mask = len(payload), os.urandom(4)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        await self._wire.write(head + mask + _masked(payload, mask))


def _block(fields: Headers) -> bytes:
    for name, value in fields:
        if b"\r" in name + value or b"\n" in name + value:
            raise ValueError("a header field has a line break in it")
    return b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
