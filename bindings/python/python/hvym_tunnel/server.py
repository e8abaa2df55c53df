"""Serves an ASGI or WSGI application to the agent of this process, by a socket that nobody else can open.

On systems without Unix sockets it is a port of this machine.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import shutil
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import _asgi, _wsgi
from ._http import Disconnected, Exchange, ProtocolError, Wire, read_request
from .errors import TunnelTimeout

logger = logging.getLogger("hvym_tunnel")

# Requests that a WSGI application answers at once; others wait.
WSGI_THREADS = 32
# How long an application may take to start, seconds.
START_TIMEOUT = 60.0
# How long requests may take to finish when the server is closed, seconds: the agent has let them finish before.
CLOSE_TIMEOUT = 2.0


class AppServer:
    """The server of one application. Started once, on a loop of its own or on the one that runs."""

    def __init__(self, app: Any, interface: str | None = None) -> None:
        self._app = app
        self._is_asgi = is_asgi(app) if interface is None else interface == "asgi"
        self._lifespan = _asgi.Lifespan(app) if self._is_asgi else None
        self._threads: ThreadPoolExecutor | None = None
        self._folder: str | None = None
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    # -- on the loop that runs -----------------------------------------------------------------------------------------------

    async def astart(self) -> str:
        """Serves on this loop. Returns where, as a target."""
        self._loop = asyncio.get_running_loop()
        if self._lifespan is not None:
            await self._lifespan.start()
        else:
            self._threads = ThreadPoolExecutor(WSGI_THREADS, "hvym-tunnel-wsgi")
        if not hasattr(socket, "AF_UNIX") or os.name == "nt":
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            port = self._server.sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{port}"
        # Its folder is the owner's alone (0700).
        self._folder = tempfile.mkdtemp(prefix="hvym-tunnel-")
        path = os.path.join(self._folder, "app")
        self._server = await asyncio.start_unix_server(self._accept, path)
        return f"unix:{path}"

    async def aclose(self) -> None:
        """Ends connections and the application's lifespan."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=CLOSE_TIMEOUT)
            for connection in late:
                connection.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._lifespan is not None:
            await self._lifespan.stop()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # -- on a loop of its own ------------------------------------------------------------------------------------------------

    def start(self) -> str:
        """Serves on a loop and a thread of its own. Returns where, as a target."""
        ready = threading.Event()
        outcome: list[str | BaseException] = []

        async def run() -> None:
            self._stop = asyncio.Event()
            try:
                outcome.append(await self.astart())
            except BaseException as error:
                outcome.append(error)
                return
            finally:
                ready.set()
            await self._stop.wait()
            await self.aclose()

        self._thread = threading.Thread(target=lambda: asyncio.run(run()), name="hvym-tunnel-app", daemon=True)
        self._thread.start()
        if not ready.wait(START_TIMEOUT):
            raise TunnelTimeout(f"the application took longer than {START_TIMEOUT} s to start", "timed_out")
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def close(self) -> None:
        """Ends what :meth:`start` started. Returns in bounded time."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            return
        if thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT + 1.0)

    # -- connections ---------------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(Wire(reader, writer))
        except (Disconnected, ConnectionError, asyncio.CancelledError):
            pass
        except ProtocolError as error:
            logger.warning("a connection of the agent was refused: %s", error)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, wire: Wire) -> None:
        while (request := await read_request(wire)) is not None:
            if request.wants_websocket and self._is_asgi:
                try:
                    await _asgi.serve_websocket(self._app, wire, request, self._state)
                except (Disconnected, ProtocolError):
                    raise
                except Exception:
                    logger.exception("the application failed at a WebSocket")
                return
            exchange = Exchange(wire, request)
            if not await self._answer(wire, exchange):
                return

    async def _answer(self, wire: Wire, exchange: Exchange) -> bool:
        """Whether another request may follow."""
        try:
            if self._is_asgi:
                await _asgi.serve_http(self._app, exchange, self._state)
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, _wsgi.serve, self._app, exchange, loop)
        except (Disconnected, ProtocolError):
            raise
        except Exception:
            logger.exception("the application failed at %s %s", exchange.request.method, _path(exchange))
            if exchange.has_started:
                # What was sent is not whole, which an ordinary end would hide.
                wire.writer.transport.abort()
                return False
            exchange.start(500, [(b"content-type", b"text/plain; charset=utf-8")])
            await exchange.send(b"Internal Server Error", False)
        while await exchange.read():
            # What the application did not read is in front of the next request.
            pass
        return exchange.keeps_alive

    @property
    def _state(self) -> dict[str, Any]:
        return self._lifespan.state if self._lifespan is not None else {}


def _path(exchange: Exchange) -> str:
    # Without the query, which may hold secrets.
    return exchange.request.target.partition(b"?")[0].decode("latin-1")


def is_asgi(app: Any) -> bool:
    """Whether an application is ASGI: a coroutine function, or an object that is called as one. Others are WSGI."""
    if inspect.iscoroutinefunction(app):
        return True
    return inspect.iscoroutinefunction(getattr(app, "__call__", None))
