"""The embedded sidecar: what workers and clients talk to, in this process or as a program.

In a test, a script, or an application that needs nothing but one machine:

    from durabletask.sidecar import Sidecar

    with Sidecar() as sidecar:
        with TaskHubGrpcWorker(host_address=sidecar.address) as worker: ...

As a program: `durabletask-sidecar --port 4001 --db orchestrations.db`, or
`python -m durabletask.sidecar` with the same arguments.

It is written in Rust, runs in threads that never need the GIL, and keeps its state in memory or in
a SQLite file. What it has acknowledged is then on the disk: neither the end of the process nor that
of the machine takes it back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from durabletask import _core

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Sidecar", "SidecarError", "main"]

_DEFAULT_CACHE_BYTES = 256 * 1024 * 1024


class SidecarError(Exception):
    """The sidecar can not start, and the message says why.

    Its port is in use, or its database is not writable, of another program, or in use.
    """


class Sidecar:
    """A sidecar inside this process: a context manager, or `start()` and `stop()`.

    Starting takes some milliseconds. Nothing exists before `start()`: neither threads nor files. A
    sidecar can be started again after `stop()`; one in memory has then forgotten everything, one on
    a file has not.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one, see `address`.
        db: SQLite file to keep the state in, made if there is none. It survives a restart, and is
            used by one sidecar at a time. None keeps the state in memory.
        cache_bytes: How much memory the histories of running instances may take before the least
            recently used are dropped and read again when needed.

    Raises:
        ValueError: `port` is not between 0 and 65535, or `cache_bytes` is negative.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | os.PathLike[str] | None = None,
        cache_bytes: int = _DEFAULT_CACHE_BYTES,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, got {port}")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be >= 0, got {cache_bytes}")
        self._host = host
        self._port = port
        self._db = None if db is None else os.fspath(db)
        self._cache_bytes = cache_bytes
        self._server: _core.SidecarServer | None = None

    @property
    def address(self) -> str:
        """Where workers and clients reach it, with the real port: "127.0.0.1:40123".

        Raises:
            RuntimeError: It is not running, or it runs in the process that this one was forked from.
        """
        return self._running().address

    def start(self) -> Self:
        """Starts it; when this returns, calls are answered. Returns the sidecar itself.

        Raises:
            SidecarError: The port is in use, or the database can not be used.
            RuntimeError: It is running already.
        """
        if self._server is not None and self._server.pid == os.getpid():
            raise RuntimeError(f"The sidecar is already running on {self._server.address}.")
        self._server = _core.SidecarServer(
            host=self._host, port=self._port, db=self._db, cache_bytes=self._cache_bytes
        )
        return self

    def stop(self) -> None:
        """Stops it and waits until it has stopped; one that is not running is left alone.

        Raises:
            RuntimeError: It runs in the process that this one was forked from.
        """
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = "in memory" if self._db is None else repr(self._db)
        at = "stopped" if self._server is None else self._server.address
        return f"<Sidecar {at}, {where}>"

    def _running(self) -> _core.SidecarServer:
        if self._server is None:
            raise RuntimeError(
                "The sidecar is not running: use `with Sidecar() as sidecar`, or call start() first."
            )
        if self._server.pid != os.getpid():
            raise RuntimeError(
                f"The sidecar runs in process {self._server.pid}, of which this process is a fork without its threads:"
                " start one here, or pass on its address from before the fork."
            )
        return self._server


def main(argv: list[str] | None = None) -> int:
    """The `durabletask-sidecar` command: runs until Ctrl-C or SIGTERM.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0 after a signal or `--help`, 1 with one line on stderr if it can not start.
    """
    arguments = ["durabletask-sidecar", *(sys.argv[1:] if argv is None else argv)]
    if threading.current_thread() is not threading.main_thread():
        return _core.sidecar_main(arguments)
    # The sidecar handles Ctrl-C itself. Python's own handler would be called too, and raise
    # KeyboardInterrupt after everything has ended well.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return _core.sidecar_main(arguments)
    finally:
        signal.signal(signal.SIGINT, handler)
