"""What running workers mean for their process: its signals, its end, and its forks."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextlib
import functools
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from durabletask._worker import signals
from durabletask._worker.last_threads import PATIENCE, Watch
from durabletask._worker.signals import die

# How long, in seconds, a wait lasts that signals are to interrupt. One that comes just before a wait does not, and on
# Windows none does.
LOOK_UP = 0.5


# Python 3.12.0 and 3.12.1 start no threads once the main thread has ended.
NO_THREADS_AFTER_MAIN = (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1)


class Resident(Protocol):
    """A worker that runs."""

    def stop(self) -> None:
        """Let what runs end."""

    def _begin_stop(self) -> None:
        """The same, without waiting for it."""

    def _keeps_the_program(self) -> bool:
        """Whether the process lives as long: not by a worker that was for an event loop that has ended."""

    def _forget_parent(self) -> Any:
        """Be new, in a child process that was forked; returns what the child is to keep untouched, if it ran."""


class _State:
    """The workers that keep this process alive."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.keeping: dict[int, Resident] = {}
        # Woken without a lock: it may be a signal handler that stops the last worker.
        self.left: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.ending = False
        # All workers have ended by a SIGTERM that came to a running event loop: the program is to end, now.
        self.drained = False
        # The signal that ended, or is to end, all workers.
        self.signal: int | None = None
        self.last_threads = Watch()

    @functools.cached_property
    def logger(self) -> logging.Logger:
        """That of the last worker. Not made on import: `logging.config` disables what exists before it."""
        return logging.getLogger("durabletask.worker")


_state = _State()
# What a child process has inherited and leaves alone: letting go of channels and live orchestrators is its parent's
# business.
_inherited: list[Any] = []
_forked_while_running = False
_YES = ("1", "true", "yes")  # what gRPC takes for it
_known: weakref.WeakSet[Any] = weakref.WeakSet()
_hooked = False


def enter(resident: Resident, logger: logging.Logger) -> None:
    """A worker runs from now on: the process lives as long, unless a daemon thread started it."""
    _known.add(resident)
    if not threading.current_thread().daemon:
        if not _state.keeping:  # whatever has ended workers before, this one came later
            _state.ending = _state.drained = False
            _state.signal = None
        _state.logger = logger
        _state.keeping[id(resident)] = resident
        _take_sigterm()
        if NO_THREADS_AFTER_MAIN:
            _state.last_threads.prepare()


def leave(resident: Resident) -> None:
    """It has ended."""
    if _state.keeping.pop(id(resident), None) is not None:
        _state.left.put(None)
        if not _state.keeping:
            _give_sigterm_back()


def prepare() -> None:
    """Before the first worker runs.

    Raises:
        RuntimeError: The program has come to its end.
    """
    global _hooked
    if _hooked:
        return
    # Callbacks run last in, first out, and activities may use `asyncio.to_thread` until the workers have ended.
    try:
        importlib.import_module("concurrent.futures.thread")
    except RuntimeError as error:
        raise RuntimeError(
            "The program has come to its end, and a first worker can not start any more: start it before, not in "
            f"what `atexit` calls ({error})."
        ) from error
    _hooked = True
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_hold_sigterm, after_in_parent=_release_sigterm, after_in_child=_forked
        )
    try:
        # Not `atexit`, which comes after the threads of concurrent.futures have been ended.
        threading._register_atexit(_serve_on)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        atexit.register(_serve_on)


def _forked() -> None:
    """In a child nothing runs: threads are not inherited, and connections are the parent's."""
    global _state, _forked_while_running
    _inherited.append(_state)
    _state = _State()
    for resident in list(_known):
        parents = resident._forget_parent()
        _inherited.append(parents)
        _forked_while_running |= parents is not None
    signals.forget()
    _give_sigterm_back()
    _release_sigterm()


# A child that nothing of the worker runs in ends by SIGTERM as ever: with the handler it could miss one, just after the
# fork or on the way into a lock, and whoever made it (a pool of `multiprocessing`) would wait for its end for good.
_held = threading.local()


def _hold_sigterm() -> None:
    """Have a SIGTERM wait that comes while this thread forks."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is _on_sigterm or isinstance(handler, signals.Handler):
        _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release_sigterm() -> None:
    mask = vars(_held).pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def why_not_after_fork() -> str:
    """Why no worker can start in this process, which was forked while one ran; mostly nothing."""
    if not _forked_while_running or os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in _YES:
        return ""
    return (
        "This process was forked while a worker ran, and a child inherits gRPC's locks without the threads that hold "
        "them: set GRPC_ENABLE_FORK_SUPPORT=true in the environment of the parent, fork before a worker starts, or "
        "start processes by spawn (multiprocessing.set_start_method)."
    )


# SIGTERM, as long as the program has no handler of its own


def _take_sigterm() -> None:
    """Have SIGTERM end the program as `sys.exit` does, so that workers drain."""
    if threading.current_thread() is not threading.main_thread():
        return
    with contextlib.suppress(ValueError):  # not the main interpreter
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)


def _give_sigterm_back() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    with contextlib.suppress(ValueError):
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(signum: int, _frame: Any) -> None:
    if _state.drained:
        raise SystemExit(0)
    if not _state.keeping or _state.ending:
        die(signum)
    _state.ending = True
    ended_by(signum)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise SystemExit(0) from None
    # Raised here, it would have the loop cancel all that it runs, activities among it. No `threading.Thread`: starting
    # one takes locks, which the main thread may have.
    _thread.start_new_thread(_drain, (loop, signum))


_on_sigterm.of_worker = True  # type: ignore[attr-defined]


def _drain(loop: asyncio.AbstractEventLoop, signum: int) -> None:
    """Let all workers end while the main thread's event loop goes on; then end the program, as `sys.exit` does."""
    try:
        _stop_all()
    finally:
        _state.drained = True
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(_exit)
    time.sleep(PATIENCE)
    if loop.is_running() and sys.platform != "win32":  # kept by something that blocks it
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signum)


def _exit() -> None:
    raise SystemExit(0)


def _stop_all() -> None:
    """Stop all workers, which have the same time for what they run."""
    residents = list(_state.keeping.values())
    for resident in residents:
        resident._begin_stop()
    for resident in residents:
        resident.stop()


def ended_by(signum: int) -> None:
    """A signal ends the program's workers: when they have drained, the program ends, whatever threads it has."""
    _state.signal = signum


# The end of the program


def _serve_on() -> None:
    """The program has come to its end: go on as long as a worker runs, then let what it does end."""
    if _state.pid != os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    try:
        _wait_for_the_end()
    except KeyboardInterrupt:
        _state.ending = True
        ended_by(signal.SIGINT)
    except SystemExit:
        _state.ending = True
    with stop_signals(die):
        _stop_all()
    if _state.signal is not None:
        _state.last_threads.arm(_state.signal, _state.logger)


def _wait_for_the_end() -> None:
    if not _state.keeping or _state.ending or _state.signal is not None:
        return
    if hasattr(sys, "ps1"):  # whoever leaves an interactive session wants to leave
        return
    last: Any = getattr(sys, "last_type", None)
    if isinstance(last, type) and issubclass(last, KeyboardInterrupt):
        return
    if not any(each._keeps_the_program() for each in _state.keeping.values()):
        return
    _take_sigterm()
    _state.logger.log(
        logging.INFO if last is None else logging.WARNING,
        "The program has ended%s; its worker goes on until Ctrl-C or SIGTERM.",
        "" if last is None else f" with {last.__name__}",
    )
    while _state.keeping:
        wait_for(_state.left)


def wait_for(wakes: queue.SimpleQueue[Any]) -> None:
    """Wait until something is put into a queue, as signal handlers may do without a lock."""
    while True:
        with contextlib.suppress(queue.Empty):
            wakes.get(timeout=LOOK_UP)
            return


# Programs that hand the main thread to a worker


@contextlib.contextmanager
def listening(told: Callable[[int], None]) -> Iterator[None]:
    """Have `told(signum)` called by SIGINT and SIGTERM; a second one ends the process. See `signals.listening`."""
    with signals.listening(told):
        yield


@contextlib.contextmanager
def stop_signals(handler: Any) -> Iterator[bool]:
    """Have `handler(signum)` called on SIGINT and SIGTERM; yields whether it is: only the main thread can have that."""
    before: dict[signal.Signals, Any] = {}

    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):
                before[signum] = signal.signal(signum, lambda signum, _frame: handler(signum))
    try:
        yield bool(before)
    finally:
        for signum, handled in before.items():
            # None: a handler that was not set from Python.
            signal.signal(signum, signal.SIG_DFL if handled is None else handled)
