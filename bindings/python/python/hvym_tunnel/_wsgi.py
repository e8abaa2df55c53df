"""WSGI (PEP 3333) on the exchanges of :mod:`hvym_tunnel._http`: the application runs on a thread, bytes pass through the loop."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from ._asgi import _first
from ._http import Disconnected, Exchange

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def serve(app: App, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
    """One request, on a thread that is not the loop's. Raises what the application raises."""
    response = _Response(exchange, loop)
    body = app(_environ(exchange, loop), response.start)
    try:
        for data in body:
            if data:
                response.write(data)
        response.finish()
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _environ(exchange: Exchange, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    request = exchange.request
    path, _, query = request.target.partition(b"?")
    host, _, port = (_first(request, b"host") or "localhost").rpartition(":")
    scheme = _first(request, b"x-forwarded-proto") or "http"
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_NAME": host or port,
        "SERVER_PORT": port if host and port.isdigit() else ("443" if scheme == "https" else "80"),
        "REMOTE_ADDR": _first(request, b"x-forwarded-for") or "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BufferedReader(_Body(exchange, loop)),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        if b"_" in name:
            # It could not be told from the field with a hyphen.
            continue
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class _Response:
    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange, self._loop = exchange, loop
        self._head: tuple[str, list[tuple[str, str]]] | None = None

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info is not None and self._exchange.has_started:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and exc_info is None:
            raise RuntimeError("start_response was called twice")
        self._head = (status, headers)
        return self.write

    def write(self, data: bytes) -> None:
        self._send(data, True)

    def finish(self) -> None:
        self._send(b"", False)

    def _send(self, data: bytes, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("the application did not call start_response")
        if not self._exchange.has_started:
            status, headers = self._head
            code, _, reason = status.partition(" ")
            fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            self._exchange.start(int(code), fields, reason)
        _wait(self._exchange.send(data, more), self._loop)


class _Body(io.RawIOBase):
    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange, self._loop = exchange, loop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data: bytes = _wait(self._exchange.read(len(buffer)), self._loop)
        except Disconnected as error:
            raise OSError("the visitor has gone") from error
        buffer[: len(data)] = data
        return len(data)


def _wait(work: Any, loop: asyncio.AbstractEventLoop) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result()
