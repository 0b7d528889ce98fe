"""The sidecar as its users start it: the command `durabletask-sidecar`, on a free port."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def sidecar_command(*arguments: str) -> Iterator[str]:
    """Run the command of this environment until the block ends; yield the address that it prints."""
    command = Path(sys.executable).parent / "durabletask-sidecar"
    assert command.exists(), f"{command} is missing: run `make develop`"
    with subprocess.Popen(
        [command, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            listening = re.search(r"listening on (\S+)", line)
            assert listening, f"durabletask-sidecar printed {line!r} and no address"
            yield listening[1]
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
