"""The command `durabletask-sidecar`: how it starts, ends, and says that it can not start."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

pytestmark = pytest.mark.sidecars("embedded", reason="the embedded one is what is tested")

COMMANDS = {
    "script": [str(Path(sys.executable).parent / "durabletask-sidecar")],
    "module": [sys.executable, "-m", "durabletask.sidecar"],
}


def hello(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary("/TaskHubSidecarService/Hello")
        call(b"", timeout=20, wait_for_ready=True)


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [*COMMANDS["module"], *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, f"expected exit code 1, found {done.returncode}: {done.stderr}"
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, f"expected one line, found: {done.stderr}"
    return done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send to a process")
@pytest.mark.parametrize("how", COMMANDS)
@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_it_serves_until_a_signal_ends_it(how: str, stop: str) -> None:
    command = [*COMMANDS[how], "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sidecar:
        try:
            assert sidecar.stdout is not None
            line = sidecar.stdout.readline()
            assert line.startswith("durabletask-sidecar is listening on 127.0.0.1:"), line
            hello(line.split()[4])
            os.kill(sidecar.pid, getattr(signal, stop))
            _, errors = sidecar.communicate(timeout=30)
            assert sidecar.returncode == 0, errors
            assert "Traceback" not in errors
        finally:
            sidecar.kill()


def test_help_says_what_can_be_given() -> None:
    done = subprocess.run(
        [*COMMANDS["script"], "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    for option in ("--port", "--host", "--db", "--log-level"):
        assert option in done.stdout


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in refusal("--port", str(port))


def test_wrong_arguments_are_one_line() -> None:
    assert "--port" in refusal("--port", "many")
    assert "--wrong" in refusal("--wrong")


def test_somebody_else_s_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (name TEXT)")
    other.close()
    before = path.read_bytes()
    assert "database of another program" in refusal("--port", "0", "--db", str(path))
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is no database. " * 100)
    assert "is not a SQLite database" in refusal("--port", "0", "--db", str(path))
    assert path.read_text().startswith("Dear reader")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert f"there is no directory '{missing}'" in refusal(
        "--port", "0", "--db", str(missing / "hub.db")
    )
