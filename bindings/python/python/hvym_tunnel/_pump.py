"""Carries the events of the native side to callbacks, by one thread for each agent or relay.

The thread waits without the interpreter's lock. Callbacks run on the thread of the event loop in which their owner was started,
or on this thread if it was started outside of one. A loop that falls behind is waited for, so what waits is bounded by the
native side, which counts what it drops.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .errors import TunnelTimeout

logger = logging.getLogger("hvym_tunnel")

# How long requests that are under way may take to finish when something is closed, seconds.
CLOSE_TIMEOUT = 5.0
# What closing may take beyond that: the last message to a peer that does not answer.
STOP_TIMEOUT = 2.0

Callback = Callable[["Event"], object]


@dataclass(frozen=True)
class Event:
    """Something that happened: its kind, and what is known about it, which attributes give too."""

    kind: str
    fields: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        # Asked for only where there is no attribute of this name.
        if name.startswith("_") or name not in self.__dict__.get("fields", {}):
            raise AttributeError(name)
        return self.fields[name]


class Source(Protocol):
    """Where events come from."""

    def next(self) -> list[str] | None: ...


class Native(Protocol):
    """What runs."""

    def drain(self, seconds: float) -> None: ...

    def stop(self) -> None: ...


N = TypeVar("N", bound=Native)


class Pumped(Generic[N]):
    """An owner of a pump: keeps its state, wakes those who wait for it, and calls callbacks."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._callbacks: dict[str, list[Callback]] = {}
        self._tasks: set[asyncio.Future[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._native: N | None = None
        self._is_closing = False
        self._has_ended = False

    def on(self, kind: str, callback: Callback | None = None) -> Any:
        """Calls ``callback`` with each event of this kind (``"*"``: of every kind). Without a callback, it is a decorator.

        An exception in a callback is logged, and ends nothing. A coroutine function is run by the loop.
        """
        if callback is None:
            return lambda decorated: self.on(kind, decorated) and decorated
        with self._changed:
            self._callbacks.setdefault(kind, []).append(callback)
        return callback

    def off(self, kind: str, callback: Callback) -> None:
        """Takes back :meth:`on`."""
        with self._changed:
            callbacks = self._callbacks.get(kind, [])
            if callback in callbacks:
                callbacks.remove(callback)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Takes nothing new, lets what is under way finish for at most ``timeout`` seconds, and ends.

        Returns in bounded time, from any thread, and also from a callback, where it may not wait. Again, it does nothing.
        """
        if not self._ask_to_close(timeout) or self._is_on_pump():
            return
        if not self.wait_stopped(timeout + STOP_TIMEOUT):
            self.stop_now()
            self.wait_stopped(STOP_TIMEOUT)

    async def aclose(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """As :meth:`close`, without blocking the loop."""
        if not self._ask_to_close(timeout):
            return
        for limit in (timeout + STOP_TIMEOUT, STOP_TIMEOUT):
            try:
                await self._wait_for_async(lambda: self._has_ended, limit, "closing")
                return
            except TunnelTimeout:
                self.stop_now()

    def stop_now(self) -> None:
        """Ends at once and does not wait."""
        if self._native is not None and not self._is_foreign():
            self._begin_closing()
            self._native.stop()

    def wait_stopped(self, timeout: float) -> bool:
        """Whether it has ended within this time."""
        with self._changed:
            return self._native is None or self._changed.wait_for(lambda: self._has_ended, timeout)

    def _start_pump(self, source: Source, name: str) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        # Weak: an owner that nobody holds any more is collected, which ends its native side and so the thread.
        owner = weakref.ref(self)
        self._thread = threading.Thread(target=_pump, args=(owner, source), name=name, daemon=True)
        self._thread.start()

    def _apply(self, event: Event) -> None:
        """Changes the state; on the pump's thread, before any callback."""

    def _end(self) -> None:
        """The last event was applied; on the pump's thread."""

    def _is_foreign(self) -> bool:
        return os.getpid() != self._pid

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            _call_soon(loop, _resolve, future)

    def _wait_for(self, is_done: Callable[[], bool], timeout: float | None, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(is_done, timeout):
                raise TunnelTimeout(f"{what} took longer than {timeout} s", "timed_out")

    async def _wait_for_async(self, is_done: Callable[[], bool], timeout: float | None, what: str) -> None:
        async def wait() -> None:
            loop = asyncio.get_running_loop()
            while True:
                future: asyncio.Future[None] = loop.create_future()
                with self._changed:
                    if is_done():
                        return
                    self._waiters.append((loop, future))
                await future

        try:
            await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError:
            raise TunnelTimeout(f"{what} took longer than {timeout} s", "timed_out") from None

    def _ask_to_close(self, timeout: float) -> bool:
        if self._native is None or self._has_ended or self._is_foreign():
            return False
        self._begin_closing()
        if timeout > 0:
            self._native.drain(timeout)
        else:
            self._native.stop()
        return True

    def _begin_closing(self) -> None:
        with self._changed:
            self._is_closing = True
        self._notify()

    def _dispatch(self, events: list[Event]) -> None:
        """Calls the callbacks for these events, on the right thread; returns when they were called, or soon after closing."""
        with self._changed:
            is_wanted = any(self._callbacks.get(event.kind) or self._callbacks.get("*") for event in events)
        if not is_wanted:
            return
        loop = self._loop
        if loop is None:
            self._call(events)
            return
        delivered = False

        def deliver() -> None:
            nonlocal delivered
            self._call(events)
            delivered = True
            with self._changed:
                self._changed.notify_all()

        if _call_soon(loop, deliver):
            with self._changed:
                # A loop that was closed never calls it.
                while not (delivered or self._is_closing or loop.is_closed()):
                    self._changed.wait(1.0)

    def _call(self, events: list[Event]) -> None:
        for event in events:
            with self._changed:
                callbacks = [*self._callbacks.get(event.kind, ()), *self._callbacks.get("*", ())]
            for callback in callbacks:
                try:
                    result = callback(event)
                    if isinstance(result, Awaitable):
                        self._run(result)
                except Exception:
                    logger.exception("a callback for %r failed", event.kind)

    def _run(self, awaitable: Awaitable[object]) -> None:
        if self._loop is None:
            close = getattr(awaitable, "close", None)
            if close is not None:
                close()
            raise TypeError("a coroutine function needs an event loop: start the tunnel inside of one")
        task = asyncio.ensure_future(awaitable)
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)

    def _finish_task(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a callback failed", exc_info=error)

    def _is_on_pump(self) -> bool:
        return threading.current_thread() is self._thread


def _pump(owner: weakref.ref[Pumped[Any]], source: Source) -> None:
    while (batch := source.next()) is not None:
        pumped = owner()
        if pumped is None:
            continue
        events = []
        for text in batch:
            fields = json.loads(text)
            events.append(Event(fields.pop("event"), fields))
        for event in events:
            pumped._apply(event)
        pumped._notify()
        pumped._dispatch(events)
        del pumped
    if (pumped := owner()) is not None:
        pumped._end()
        pumped._dispatch([Event("closed", {})])
        pumped._has_ended = True
        pumped._notify()


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> bool:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return False
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
