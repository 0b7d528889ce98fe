"""Threads of a program that would keep it from ending after a signal has let its workers end.

Python joins all threads that are no daemons before it exits. That is how programs without a worker are: they do not
end on Ctrl-C either as long as such a thread runs, but SIGTERM ends them at once. Whoever sent it waits for the end,
and often kills after some seconds, so what a signal has begun is brought to its end here.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from typing import Any

# How long, in seconds, threads have for ending by themselves once workers have drained; those of executors do.
PATIENCE = 2.0
# Thread names in a line of the log, at most.
_FEW = 10


class _Enough(SystemExit):
    """Raised in the main thread where it waits for other threads at the end of the program."""


class Watch:
    """Sees to it that the program ends, from a thread of its own."""

    def __init__(self) -> None:
        self._armed = threading.Event()
        self._past = threading.Event()
        self._signum = 0
        self._logger: logging.Logger | None = None
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Start the thread now, for an interpreter that starts none when the main thread has come to its end."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="durabletask-last-threads", daemon=True
            )
            self._thread.start()

    def arm(self, signum: int, logger: logging.Logger) -> None:
        """The signal has ended all workers: no thread is to keep the program for long.

        For the main thread, as the last that workers do at the end of a program.
        """
        if not _lasting():
            return
        self._signum, self._logger = signum, logger
        with contextlib.suppress(ValueError):  # not the main interpreter
            signal.signal(signum, _stop_waiting)
        # What is registered last is called first, when nothing is waited for any more.
        atexit.register(self._past.set)
        _say_nothing_of_it()
        self.prepare()
        self._armed.set()

    def _run(self) -> None:
        self._armed.wait()
        if self._past.wait(PATIENCE):
            return
        names = [thread.name for thread in _lasting()]
        assert self._logger is not None, "armed with one"
        self._logger.warning(
            "%s: the program ends now, although %d of its threads go on: %s%s. Threads that need not come to an end "
            "are daemons (daemon=True).",
            signal.Signals(self._signum).name,
            len(names),
            ", ".join(names[:_FEW]),
            ", ..." if len(names) > _FEW else "",
        )
        if sys.platform != "win32":  # where nothing interrupts a wait
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, self._signum)
            if self._past.wait(PATIENCE):
                return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(128 + self._signum)


def _lasting() -> list[threading.Thread]:
    """The threads that Python waits for at the end of a program."""
    main = threading.main_thread()
    return [each for each in threading.enumerate() if not each.daemon and each is not main]


def _stop_waiting(_signum: int, _frame: Any) -> None:
    raise _Enough(0)


def _say_nothing_of_it() -> None:
    """What ends the wait for threads is told by Python as an exception that nobody could handle."""
    hook = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if unraisable.exc_type is not _Enough:
            hook(unraisable)

    sys.unraisablehook = quiet
