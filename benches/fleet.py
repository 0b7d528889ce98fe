"""What a bench from end to end runs: a sidecar, and workers of several packages, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import HERE, BenchError

START_TIMEOUT = 30.0
"""Seconds that a sidecar has for accepting connections."""
STOP_TIMEOUT = 10.0


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that is running; `pid` is None if somebody else started it."""

    address: str
    pid: int | None = None

    def processor_seconds(self) -> float | None:
        """What it has computed so far; None where that cannot be asked."""
        status = Path(f"/proc/{self.pid}/stat")
        if self.pid is None or not status.exists():
            return None
        # The name, in parentheses, may hold anything; user and system time are the 14th and 15th field.
        fields = status.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class SidecarChoice:
    """Which sidecar to run against.

    Attributes:
        python: has this project, whose embedded sidecar is started if nothing else is given.
        on_file: whether the embedded sidecar keeps its state in a file, and flushes it.
        command: starts another one; `{port}` in it becomes a free port, `{db}` a file that does not exist yet.
        address: of one that is running already, and is left running.
    """

    python: Path
    on_file: bool = False
    command: str | None = None
    address: str | None = None

    @property
    def name(self) -> str:
        """What results call it."""
        if self.address is not None:
            return self.address
        if self.command is not None:
            return Path(shlex.split(self.command)[0]).name
        return f"embedded, {'on a file' if self.on_file else 'in memory'}"

    @property
    def embedded(self) -> bool:
        """Whether it is this project's own."""
        return self.command is None and self.address is None

    @contextlib.contextmanager
    def start(self) -> Iterator[Sidecar]:
        """Run one, without any instances in it; end it afterwards. One that is running already is taken as it is.

        Raises:
            BenchError: it does not start.
        """
        if self.address is not None:
            yield Sidecar(self.address)
            return
        with tempfile.TemporaryDirectory() as directory:
            database = Path(directory) / "sidecar.db"
            port = _free_port()
            if self.command is not None:
                values = {"port": port, "db": database}
                command = [part.format(**values) for part in shlex.split(self.command)]
            else:
                command = [str(self.python), "-m", "durabletask.sidecar", f"--port={port}"]
                command += ["--log-level=warn", *([f"--db={database}"] if self.on_file else [])]
            with _process(command) as process:
                _await_port(process, command, port)
                yield Sidecar(f"127.0.0.1:{port}", process.pid)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    # It logs to a file: a pipe that nobody reads would stop it once it is full.
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        except OSError as error:
            raise BenchError(f"cannot start {command[0]}: {error}") from error
        try:
            yield process
        except BenchError as error:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()[-5:]
            raise BenchError("\n".join([str(error), *said])) from error
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await_port(process: subprocess.Popen[bytes], command: list[str], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{shlex.join(command)} ended with exit code {process.returncode}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1),
        ):
            return
        time.sleep(0.02)
    raise BenchError(f"{shlex.join(command)} does not listen on port {port}")


class WorkerProcess:
    """A worker of a package, connected to a sidecar.

    Raises:
        BenchError: from every method, if the process cannot do what it is told.
    """

    def __init__(
        self, kind: str, python: Path, address: str, variables: Mapping[str, str] | None = None
    ) -> None:
        self._kind = kind
        environment = {**os.environ, **(variables or {})}
        if kind != "ours":
            # Nothing of this project may stand in the way of its namesake.
            environment.pop("PYTHONPATH", None)
        try:
            self._process = subprocess.Popen(
                [python, HERE / "end_to_end_worker.py", kind, address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise BenchError(f"cannot start {python} for {kind}: {error}") from error
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def usage(self) -> dict[str, Any]:
        """Seconds of processor time, "cpu_s", those of them in replay, "replay_cpu_s", and the number of "turns"."""
        return self._ask("usage")

    def close(self) -> None:
        """Stop the worker and end the process."""
        with contextlib.suppress(BenchError, OSError):
            if self._process.poll() is None:
                self._ask("stop")
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            print(f"the worker of {self._kind} does not end and is killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": command}) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(
                f"the worker process of {self._kind} ended with {self._process.wait()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"the worker of {self._kind} does not start: {answer['error']}")
        return answer


@contextlib.contextmanager
def worker(
    kind: str, python: Path, address: str, variables: Mapping[str, str] | None = None
) -> Iterator[WorkerProcess]:
    """Run a worker, with environment variables of its own."""
    process = WorkerProcess(kind, python, address, variables)
    try:
        yield process
    finally:
        process.close()
