"""SIGINT and SIGTERM while workers are in the foreground: each of these is told, and so is the application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Told = Callable[[int], None]

_listeners: list[_Told] = []


class Handler:
    """Python's handler of a signal, which calls the one that it has replaced, too."""

    def __init__(self, previous: Any):
        """`previous` as `signal.signal` has returned it."""
        self.previous = previous
        self._called = False

    def __call__(self, signum: int, frame: Any) -> None:
        """Tell all workers; the second time, end the process.

        An application that has put its own handler into the place of this one may put it back, and raise once more
        what it has got, as uvicorn does. That is why each handler counts for itself.
        """
        if not _listeners:
            self._as_before(signum, frame)
            return
        again, self._called = self._called, True
        try:
            for told in _listeners:
                told(signum)
            if is_of_program(self.previous):
                self.previous(signum, frame)
        finally:
            if again:
                die(signum)

    def _as_before(self, signum: int, frame: Any) -> None:
        """There are no workers any more, but somebody has kept this handler."""
        if callable(self.previous):
            self.previous(signum, frame)
        elif self.previous is not signal.SIG_IGN:
            die(signum)


def is_of_program(handler: Any) -> bool:
    """Whether a handler is one that the application has set, not one that is there anyhow."""
    if not callable(handler) or handler is signal.default_int_handler:
        return False
    if getattr(handler, "of_worker", False):
        return False
    runner = getattr(asyncio, "Runner", None)  # since Python 3.11: cancels the main task
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return runner is None or not isinstance(owner, runner)


@contextlib.contextmanager
def listening(told: _Told) -> Iterator[None]:
    """Have `told(signum)` called by SIGINT and SIGTERM: only where the main thread enters this.

    It is called in the main thread, wherever that is, and takes no locks.
    """
    _listeners.append(told)
    try:
        take()
        yield
    finally:
        _listeners.remove(told)
        if not _listeners:
            give_back()


def are_listened_to() -> bool:
    """Whether there are workers in the foreground."""
    return bool(_listeners)


def take() -> None:
    """Have signals handled here, if somebody else has taken them since they were."""
    if not _in_main_thread():
        return
    for signum in _SIGNALS:
        with contextlib.suppress(ValueError):  # not the main interpreter
            current = signal.getsignal(signum)
            if not isinstance(current, Handler):
                signal.signal(signum, Handler(current))


def give_back() -> None:
    """Have signals handled as before."""
    if not _in_main_thread():
        return
    for signum in _SIGNALS:
        handler = current = signal.getsignal(signum)
        while isinstance(handler, Handler):
            handler = handler.previous
        if handler is not current:
            with contextlib.suppress(ValueError):
                # None: a handler that was not set from Python.
                signal.signal(signum, signal.SIG_DFL if handler is None else handler)


def forget() -> None:
    """In a forked child, which has no workers."""
    _listeners.clear()
    give_back()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def die(signum: int) -> None:
    """End this process by a signal, at once."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)  # where a signal does not come at once
