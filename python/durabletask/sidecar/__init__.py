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
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any

from durabletask import _core

if TYPE_CHECKING:
    from typing_extensions import Self

    from durabletask.client import OrchestrationStatus

__all__ = ["Sidecar", "SidecarError", "backup", "main"]

_Path = str | os.PathLike[str]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_VIRTUAL_START = datetime(2000, 1, 1, tzinfo=timezone.utc)
_ENDS = ("COMPLETED", "FAILED", "TERMINATED", "CANCELED")
_DEFAULT_CACHE_BYTES = 256 * 1024 * 1024


class SidecarError(Exception):
    """The sidecar can not start, or its database not be copied, and the message says why.

    Its port is in use; its database is not writable, of another program, in use, or not whole; its
    token or certificates can not be read; nothing would protect it from other machines.
    """


class Sidecar:
    """A sidecar inside this process: a context manager, or `start()` and `stop()`.

    Starting takes some milliseconds. Nothing exists before `start()`: neither threads nor files. A
    sidecar can be started again after `stop()`; one in memory has then forgotten everything, one on
    a file has not.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one, see `address`.
        metrics_port: Port to serve metrics on, for Prometheus, at /metrics on this machine alone; 0
            takes a free one, see `metrics_address`. None serves none.
        db: SQLite file to keep the state in, made if there is none. It survives a restart, and is
            used by one sidecar at a time. None keeps the state in memory.
        cache_bytes: How much memory the histories of running instances may take before the least
            recently used are dropped and read again when needed.
        accept_data_loss: Start also with a database whose write-ahead log is missing, without what
            was in it.
        insecure: Serve other machines, as `host` says, although nothing protects the sidecar.
        api_token_file: File with a token that every call has to carry, as metadata `dapr-api-token`;
            clients and workers take it from the environment variable DAPR_API_TOKEN.
        tls_cert: File with the server's certificates in PEM, its own first; it turns TLS on.
        tls_key: File with the key to it, in PEM.
        tls_client_ca: File with certificates in PEM, one of which has to have signed a caller's.
        max_message_bytes: The largest message that is taken, in bytes; None: 256 MiB.
        turn_lease: How long a worker may have a turn in hand before it is given to another: seconds,
            or a timedelta.
        retain: For how long orchestrations are kept that have ended, by the status that they ended
            with, as {"COMPLETED": timedelta(days=7)}; the others are "FAILED", "TERMINATED" and
            "CANCELED", or members of OrchestrationStatus. Then they are forgotten as if they were
            purged, each for itself. What has no entry is kept until it is purged.
        time_skipping: Let time pass by itself, for tests. It stands still while anything runs or
            waits for a worker, and passes at once to the next timer when nothing does and a client
            waits for an orchestration; if none waits, a second after the last request of a client.
        start_time: When time begins, with time_skipping: UTC unless it has tzinfo. None: the
            beginning of the year 2000, so that histories are the same each time.
        seed: Which ids histories have, with time_skipping: the same ones for the same seed.

    Raises:
        ValueError: `port` or `metrics_port` is not between 0 and 65535, `cache_bytes` is negative, `max_message_bytes`
            or `turn_lease` not positive, `retain` has a status in which nothing ends or a time below
            zero, or start_time or seed is given without time_skipping.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        metrics_port: int | None = None,
        db: str | os.PathLike[str] | None = None,
        cache_bytes: int = _DEFAULT_CACHE_BYTES,
        accept_data_loss: bool = False,
        insecure: bool = False,
        api_token_file: _Path | None = None,
        tls_cert: _Path | None = None,
        tls_key: _Path | None = None,
        tls_client_ca: _Path | None = None,
        max_message_bytes: int | None = None,
        turn_lease: float | timedelta = 120.0,
        retain: Mapping[str | OrchestrationStatus, timedelta] | None = None,
        time_skipping: bool = False,
        start_time: datetime | None = None,
        seed: int | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, got {port}")
        if metrics_port is not None and not 0 <= metrics_port <= 65535:
            raise ValueError(f"metrics_port must be between 0 and 65535, got {metrics_port}")
        if cache_bytes < 0:
            raise ValueError(f"cache_bytes must be >= 0, got {cache_bytes}")
        if max_message_bytes is not None and max_message_bytes <= 0:
            raise ValueError(f"max_message_bytes must be > 0, got {max_message_bytes}")
        lease = turn_lease if isinstance(turn_lease, timedelta) else timedelta(seconds=turn_lease)
        if lease <= timedelta(0):
            raise ValueError(f"turn_lease must be > 0 seconds, got {turn_lease}")
        if not time_skipping and (start_time is not None or seed is not None):
            raise ValueError(
                "start_time and seed are for a time that is skipped: add time_skipping=True"
            )
        self._time_skipping = time_skipping
        self._db = _text(db)
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
            "db": self._db,
            "cache_bytes": cache_bytes,
            "accept_data_loss": accept_data_loss,
            "insecure": insecure,
            "api_token_file": _text(api_token_file),
            "tls_cert": _text(tls_cert),
            "tls_key": _text(tls_key),
            "tls_client_ca": _text(tls_client_ca),
            "max_message_bytes": max_message_bytes,
            "turn_lease": lease,
            "retain": _rules(retain or {}),
            "virtual_time": (
                (_nanoseconds(start_time or _VIRTUAL_START), (seed or 0) % 2**64)
                if time_skipping
                else None
            ),
        }
        self._server: _core.SidecarServer | None = None

    @property
    def address(self) -> str:
        """Where workers and clients reach it, with the real port: "127.0.0.1:40123".

        Raises:
            RuntimeError: It is not running, or it runs in the process that this one was forked from.
        """
        return self._running().address

    @property
    def metrics_address(self) -> str | None:
        """Where metrics are read, with the real port: "127.0.0.1:40124" for http://127.0.0.1:40124/metrics.

        Raises:
            RuntimeError: It is not running, or it runs in the process that this one was forked from.
        """
        return self._running().metrics_address

    def start(self) -> Self:
        """Starts it; when this returns, calls are answered. Returns the sidecar itself.

        Raises:
            SidecarError: The port is in use, the database can not be used, or what is to protect the
                sidecar does not.
            RuntimeError: It is running already.
        """
        if self._server is not None and self._server.pid == os.getpid():
            raise RuntimeError(f"The sidecar is already running on {self._server.address}.")
        self._server = _core.SidecarServer(**self._options)
        return self

    def stop(self) -> None:
        """Stops it and waits until it has stopped; one that is not running is left alone.

        Raises:
            RuntimeError: It runs in the process that this one was forked from.
        """
        if self._server is not None:
            self._server.stop()
            self._server = None

    def now(self) -> datetime:
        """What time it is in it, in UTC, with tzinfo.

        Raises:
            RuntimeError: It is not running.
        """
        return _EPOCH + timedelta(microseconds=self._running().now() // 1000)

    def skip(self, by: timedelta, *, timeout: float = 30.0) -> datetime:
        """Lets time pass, with everything that happens meanwhile.

        Timers fire at their own times, and time stands still for what they set off.

        Args:
            by: How much of it.
            timeout: How many seconds of real time to wait for workers that are busy or missing.

        Returns:
            What time it is then.

        Raises:
            RuntimeError: It is not running, or its time is not skipped.
            ValueError: `by` is negative.
            TimeoutError: Something still runs, or waits for a worker.
        """
        if not self._time_skipping:
            raise RuntimeError("Its time is that of the clock: make it with time_skipping=True.")
        if by < timedelta(0):
            raise ValueError(f"time does not go back, got {by}")
        then = self._running().skip(by, timedelta(seconds=timeout))
        if then is None:
            raise TimeoutError(
                f"Time could not pass by {by} within {timeout} s: something is running, or waits for a worker that"
                " has it."
            )
        return _EPOCH + timedelta(microseconds=then // 1000)

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


def _rules(retain: Mapping[str | OrchestrationStatus, timedelta]) -> list[tuple[str, timedelta]]:
    rules = []
    for status, time in retain.items():
        name = status if isinstance(status, str) else status.name
        if name not in _ENDS:
            raise ValueError(
                f"retain: nothing ends as {name!r}, expected one of {', '.join(_ENDS)}"
            )
        if time < timedelta(0):
            raise ValueError(f"retain: {name} can not be kept for {time}")
        rules.append((name, time))
    return rules


def _nanoseconds(time: datetime) -> int:
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def backup(db: _Path, to: _Path) -> int:
    """Copies the database of a sidecar as it is at one moment, also while the sidecar is at work on it.

    Args:
        db: The database; its sidecar may run in this process, in another one, or not at all.
        to: The copy, a new file. It has its name once it is complete.

    Returns:
        The size of the copy in bytes.

    Raises:
        SidecarError: There is no such database, it is none of a sidecar, or the copy can not be
            written.
    """
    return _core.back_up_sidecar(os.fspath(db), os.fspath(to))


def _text(path: _Path | None) -> str | None:
    return None if path is None else os.fspath(path)


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
