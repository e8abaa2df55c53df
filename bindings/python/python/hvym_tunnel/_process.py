"""What holds for the whole process: the end of the interpreter, forks, and the log of the native module."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from typing import Protocol

from . import _native

logger = logging.getLogger("hvym_tunnel")

# How long the end of the interpreter waits for one agent or relay, seconds: a link that is up is closed within one round trip.
EXIT_TIMEOUT = 1.0
_OFF = 255


class Running(Protocol):
    """Something with a thread that must end before the interpreter does."""

    def stop_now(self) -> None: ...

    def wait_stopped(self, timeout: float) -> bool: ...


_running: weakref.WeakSet[Running] = weakref.WeakSet()
_lock = threading.Lock()
_log_thread: threading.Thread | None = None
_is_forked = False


def started(running: Running) -> None:
    """``running`` has a thread from now on."""
    with _lock:
        _running.add(running)
    _start_logging()


def _start_logging() -> None:
    global _log_thread
    if _is_forked:
        return
    _native.set_log_level(max(10, min(50, logger.getEffectiveLevel())))
    with _lock:
        if _log_thread is None:
            _log_thread = threading.Thread(target=_log, name="hvym-tunnel-log", daemon=True)
            _log_thread.start()


def _log() -> None:
    while records := _native.next_log_records():
        for level, target, text in records:
            logging.getLogger(f"hvym_tunnel.{target.split('::')[0]}").log(level, "%s", text)


def _at_exit() -> None:
    # A thread that waits in native code would wake up in an interpreter that is gone.
    with _lock:
        running = list(_running)
    for each in running:
        each.stop_now()
    for each in running:
        each.wait_stopped(EXIT_TIMEOUT)
    _native.stop_logging()
    if _log_thread is not None:
        _log_thread.join(EXIT_TIMEOUT)


def _in_forked_child() -> None:
    global _lock, _log_thread, _running, _is_forked
    # No thread of the parent is here, and one of them may have held the lock.
    _lock, _running, _log_thread, _is_forked = threading.Lock(), weakref.WeakSet(), None, True
    _native.set_log_level(_OFF)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
