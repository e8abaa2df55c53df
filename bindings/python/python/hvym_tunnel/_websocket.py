"""The WebSocket protocol (RFC 6455), the server's side, for applications in this process. It knows no application."""

from __future__ import annotations

import base64
import hashlib
import struct

from ._http import Disconnected, ProtocolError, Request, Wire

# The largest message, bytes.
MAX_MESSAGE = 16 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class WebSocket:
    """An upgrade that may be accepted, then messages both ways."""

    def __init__(self, wire: Wire, request: Request) -> None:
        keys = request.values(b"sec-websocket-key")
        if len(keys) != 1 or request.values(b"sec-websocket-version") != [b"13"]:
            raise ProtocolError("not an upgrade to WebSocket 13")
        self._wire, self._key = wire, keys[0]
        self._is_closed = False

    async def accept(self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]) -> None:
        """Answers the upgrade."""
        digest = base64.b64encode(hashlib.sha1(self._key + _GUID).digest())
        lines = [b"upgrade: websocket", b"connection: Upgrade", b"sec-websocket-accept: " + digest]
        if subprotocol is not None:
            lines.append(b"sec-websocket-protocol: " + subprotocol.encode("ascii"))
        for name, value in headers:
            if b"\r" in name + value or b"\n" in name + value:
                raise ValueError("a header field has a line break in it")
            lines.append(name + b": " + value)
        await self._wire.write(b"HTTP/1.1 101 Switching Protocols\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")

    async def receive(self) -> str | bytes | tuple[int, str]:
        """The next message, or the code and the reason of the end. Pings are answered."""
        parts, kind = bytearray(), _CONTINUATION
        while True:
            final, opcode, payload = await self._frame()
            if opcode == _PING:
                await self._send(_PONG, payload)
            elif opcode == _CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                await self.close(1000 if code == 1005 else code)
                return code, payload[2:].decode("utf-8", "replace")
            elif opcode in (_TEXT, _BINARY, _CONTINUATION):
                if (opcode == _CONTINUATION) == (kind == _CONTINUATION):
                    raise ProtocolError("a fragment out of order")
                kind = kind or opcode
                parts += payload
                if len(parts) > MAX_MESSAGE:
                    await self.close(1009)
                    return 1009, "too large"
                if final:
                    return self._message(kind, bytes(parts))
            elif opcode != _PONG:
                raise ProtocolError("an unknown kind of frame")

    async def send(self, message: str | bytes) -> None:
        """Sends a message."""
        if self._is_closed:
            raise Disconnected
        if isinstance(message, str):
            await self._send(_TEXT, message.encode())
        else:
            await self._send(_BINARY, message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Says that nothing more will be sent. Again, it does nothing."""
        if not self._is_closed:
            self._is_closed = True
            await self._send(_CLOSE, struct.pack("!H", code) + reason.encode()[:123])

    @staticmethod
    def _message(kind: int, payload: bytes) -> str | bytes:
        if kind == _BINARY:
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("text that is not UTF-8") from error

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._wire.exactly(2)
        length = second & 0x7F
        if first & 0x70 or not second & 0x80:
            raise ProtocolError("a frame that no client sends")
        if first & 0x08 and (length > 125 or not first & 0x80):
            raise ProtocolError("a control frame that is too long")
        if length == 126:
            (length,) = struct.unpack("!H", await self._wire.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._wire.exactly(8))
        if length > MAX_MESSAGE:
            raise ProtocolError("a frame that is too large")
        mask = await self._wire.exactly(4)
        payload = await self._wire.exactly(length)
        return bool(first & 0x80), first & 0x0F, _masked(payload, mask)

    async def _send(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, length)
        await self._wire.write(head + payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return b""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
