"""The contestants: an environment for each package, and a process in it that lives as long as the bench.

Processes are kept, so that starting and importing cost nothing that is measured, and all of them run on one core, so
that they meet the same conditions.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from histories import Dialect
from support import wire
from workloads import WORKLOADS, Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
COMPLETED = 1
"""OrchestrationStatus."""

WARM_UP_STEPS = 100

DIALECTS: dict[str, Dialect] = {"ours": "dapr", "dapr": "dapr", "microsoft": "microsoft"}


class BenchError(Exception):
    """What keeps the bench from running; for whoever started it."""


def our_python() -> Path:
    """The interpreter with this project: that of the release build, if `make bench` has made one, else this one."""
    release = ROOT / ".venv-bench" / "bin" / "python"
    if release.exists():
        return release
    if importlib.util.find_spec("durabletask") is None:
        raise BenchError(
            "durabletask is not installed for this Python: run `make bench-quick`, which builds it"
        )
    print(
        f"measuring what is installed for {sys.executable}, which may not be a release build; `make bench` makes one",
        file=sys.stderr,
    )
    return Path(sys.executable)


def peer_python(kind: str, ours: Path) -> Path:
    """The interpreter with another package, at the version its requirements pin; set up if need be.

    Args:
        kind: "dapr" or "microsoft".
        ours: the interpreter that this project is measured with: the other is of the same version.

    Raises:
        BenchError: if it cannot be set up.
    """
    requirements = HERE / f"requirements-{kind}.txt"
    environment = ROOT / f".venv-bench-{kind}"
    python = environment / "bin" / "python"
    installed = environment / "installed.txt"
    ask: list[str | Path] = [ours, "-c", "import sys; print('#', sys.version)"]
    try:
        wanted = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"cannot run {ours}: {error}") from error
    wanted += requirements.read_text()
    if not installed.exists() or installed.read_text() != wanted:
        print(f"Setting up {environment.name}", file=sys.stderr)
        make: list[str | Path] = [ours, "-m", "venv", "--clear", environment]
        pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        for command in (make, [*pip, "install", "-r", requirements]):
            if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
                raise BenchError(
                    f"cannot set up {environment}; --reference-python and --microsoft-python name "
                    "interpreters that have the packages already, --no-peers does without them"
                )
        installed.write_text(wanted)
    return python


class Contestant:
    """A process that replays.

    Raises:
        BenchError: from every method, if the process cannot do what it is told.
    """

    def __init__(self, kind: str, python: Path, core: int | None) -> None:
        self.kind = kind
        self.python = python
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        if kind in ("dapr", "microsoft"):
            # Nothing of this project may stand in the way of its namesakes.
            environment.pop("PYTHONPATH", None)
        try:
            self._process = subprocess.Popen(
                [python, HERE / "contestant.py", kind, "any" if core is None else str(core)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise BenchError(f"cannot start {python} for {kind}: {error}") from error
        self.about = self._ask({"do": "about"})

    def load(self, workload: Workload, steps: int) -> None:
        """Read a workload's history, replay it once, and see that the result is right."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "request"
            path.write_bytes(self._request(workload, steps))
            command = {"do": "load", "workload": workload.name, "steps": steps, "path": str(path)}
            response = base64.b64decode(self._ask(command)["response"])
        expected = workload.result(steps)
        find = json.loads if self.kind == "generator" else workload.found or completed_with
        result = find(response)
        if result != expected:
            raise BenchError(
                f"{self.kind} did not replay {workload.name} of {steps:,} steps to its end: expected "
                f"{expected!r}, found {result!r}"
            )

    def round(self, seconds: float) -> dict[str, list[int]]:
        """Replay for so long, at least once; return nanoseconds of "processor" and "clock" for each replay."""
        return self._ask({"do": "round", "seconds": seconds})

    def memory(self, workload: Workload, steps: int) -> dict[str, int]:
        """Replay once; return the bytes of the message, and those that the process grew by. For a fresh process."""
        with tempfile.TemporaryDirectory() as directory:
            path, warm_up = Path(directory) / "request", Path(directory) / "warm-up"
            path.write_bytes(self._request(workload, steps))
            warm_up.write_bytes(self._request(workload, WARM_UP_STEPS))
            command = {"do": "memory", "workload": workload.name, "steps": steps}
            return self._ask({**command, "path": str(path), "warm_up": str(warm_up)})

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _request(self, workload: Workload, steps: int) -> bytes:
        dialect = DIALECTS.get(self.kind)
        return b"" if dialect is None else _encoded(workload, dialect, steps)

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the process of {self.kind} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(
                f"{self.kind}, run by {self.python}, cannot {command['do']}: {answer['error']}"
            )
        return answer


@lru_cache(maxsize=2)
def _encoded(workload: Workload, dialect: Dialect, steps: int) -> bytes:
    """A history is built once for all who replay it next."""
    return workload.request(dialect, steps)


def completed_with(response: bytes) -> Any:
    """The result of a response that completes its orchestration; what is in it otherwise."""
    actions = wire.fields(response).get(2, [])
    if len(actions) == 1 and isinstance(actions[0], bytes):
        completion = wire.get(actions[0], 6)
        if completion is not None and wire.number(completion, 1) == COMPLETED:
            return json.loads(wire.string(completion, 2, 1) or "null")
    return f"{len(actions)} actions in {response[:2_000]!r}"


def a_core() -> int | None:
    """The core that everything runs on; none where processes cannot be bound to one."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@contextlib.contextmanager
def contestants(pythons: dict[str, Path]) -> Iterator[dict[str, Contestant]]:
    """Start the processes of contestants, each under its interpreter."""
    core = a_core()
    running: dict[str, Contestant] = {}
    try:
        for kind, python in pythons.items():
            running[kind] = Contestant(kind, python, core)
        yield running
    finally:
        for contestant in running.values():
            contestant.close()


def replayed_by(kind: str, workload: Workload) -> Workload:
    """What a contestant replays for a workload: the others cannot do all that this project can."""
    if kind != "ours" and workload.peers:
        return WORKLOADS[workload.peers]
    return workload
