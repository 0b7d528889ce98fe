"""The sidecar as its users start it: the command `durabletask-sidecar`, on a free port."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START_TIMEOUT = 30.0
"""Seconds; a loaded machine needs some for Python to start."""


@contextlib.contextmanager
def sidecar_command(*arguments: str) -> Iterator[str]:
    """Run the command of this environment until the block ends; yield its address."""
    command = Path(sys.executable).parent / "durabletask-sidecar"
    assert command.exists(), f"{command} is missing: run `make develop`"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([command, "--port", str(port), *arguments]) as process:
        try:
            _wait_until_open(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        assert process.poll() is None, f"durabletask-sidecar ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"durabletask-sidecar does not listen after {START_TIMEOUT:.0f} s")
