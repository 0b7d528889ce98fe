"""`durabletask worker`, as a command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item

SOON = 30.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

APP = """
import os
import time

from durabletask.worker import TaskHubGrpcWorker

worker = TaskHubGrpcWorker(stop_timeout=15)


@worker.activity
def version(ctx, _):
    return ["first", os.getpid()]


@worker.activity
def slow(ctx, value):
    time.sleep(value)
    return "slow ended"


def make():
    return worker


nothing = 42
"""


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@contextlib.contextmanager
def command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "cli_app.py").write_text(APP)
    with subprocess.Popen(
        [sys.executable, "-m", "durabletask", "worker", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def answer(sidecar: FakeSidecar, name: str, value: str | None = None) -> str:
    sidecar.send(activity_item(name, value))
    _, response = sidecar.completion(SOON)
    result = wire.string(response, 3, 1)
    assert result is not None
    return result


@pytest.mark.parametrize("name", ["worker", "make"])
def test_a_worker_serves_until_a_signal(sidecar: FakeSidecar, tmp_path: Path, name: str) -> None:
    with command(tmp_path, f"cli_app:{name}", "--address", sidecar.address) as process:
        assert answer(sidecar, "version").startswith('["first", ')
        process.terminate()
        assert process.wait(SOON) == 0


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("cli_app", "expected MODULE:NAME"),
        ("missing_app:worker", "the module can not be imported"),
        ("cli_app:missing", "module cli_app has no missing"),
        (
            "cli_app:nothing",
            "expected a TaskHubGrpcWorker, or a function that returns one, found int",
        ),
    ],
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_is_no_worker_ends_the_command_with_2(
    tmp_path: Path, app: str, message: str, processes: str
) -> None:
    with command(tmp_path, app, "--processes", processes) as process:
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 2
    assert f"durabletask worker: {app}: {message}" in errors


def pids_that_answer(sidecar: FakeSidecar, count: int, *, but: int = 0) -> set[int]:
    found: set[int] = set()
    deadline = time.monotonic() + SOON
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found} answer"
        pid = int(answer(sidecar, "version").rpartition(" ")[2].rstrip("]"))
        if pid != but:
            found.add(pid)
    return found


def test_processes_are_started_again_when_they_die_and_drain_together(
    sidecar: FakeSidecar, tmp_path: Path
) -> None:
    arguments = ("cli_app:worker", "--processes", "2", "--address", sidecar.address)
    with command(tmp_path, *arguments) as process:
        sidecar.wait_for_streams(2, SOON)
        first = pids_that_answer(sidecar, 2)
        assert process.pid not in first
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        sidecar.wait_for_streams(3, SOON)
        second = pids_that_answer(sidecar, 2, but=victim)
        assert len(second - first) == 1
        for task_id in (1, 2, 3, 4):
            sidecar.send(activity_item("slow", "1", task_id=task_id))
        time.sleep(0.3)  # they have begun
        process.terminate()
        for _ in range(4):
            _, response = sidecar.completion()
            assert wire.string(response, 3, 1) == '"slow ended"'
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 0
    assert "a worker process has ended (SIGKILL); the next one starts in 0.5 s" in errors
    assert_gone(second)


def assert_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + SOON
    while left := {pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()}:
        assert time.monotonic() < deadline, f"processes are left: {left}"
        time.sleep(0.02)


def test_processes_end_with_a_supervisor_that_is_killed(
    sidecar: FakeSidecar, tmp_path: Path
) -> None:
    arguments = ("cli_app:worker", "--processes", "2", "--address", sidecar.address)
    with command(tmp_path, *arguments) as process:
        sidecar.wait_for_streams(2, SOON)
        process.kill()
        sidecar.wait_for_no_stream(SOON)


def test_reload_starts_anew_when_a_file_changes(sidecar: FakeSidecar, tmp_path: Path) -> None:
    with command(tmp_path, "cli_app:worker", "--reload", "--address", sidecar.address) as process:
        assert answer(sidecar, "version").startswith('["first", ')
        (tmp_path / "cli_app.py").write_text("this is no Python\n")
        sidecar.wait_for_no_stream(SOON)
        (tmp_path / "cli_app.py").write_text(APP.replace("first", "second"))
        sidecar.wait_for_streams(2, SOON)
        assert answer(sidecar, "version").startswith('["second", ')
        process.terminate()
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode == 0
    assert "cli_app.py has changed: starting anew" in errors
