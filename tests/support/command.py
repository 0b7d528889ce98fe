"""The sidecar as its users start it: the command `durabletask-sidecar`, on a free port."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def sidecar_command(*arguments: str) -> Iterator[str]:
    """Run the command of this environment until the block ends; yield the address that it prints."""
    with sidecar_process(None, *arguments) as (address, _):
        yield address


@contextlib.contextmanager
def sidecar_process(
    log: Path | None, *arguments: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The same; yield the process, too. What it logs goes to a file if one is given."""
    command = Path(sys.executable).parent / "durabletask-sidecar"
    assert command.exists(), f"{command} is missing: run `make develop`"
    with contextlib.ExitStack() as stack:
        errors: IO[bytes] | None = None if log is None else stack.enter_context(log.open("wb"))
        process = stack.enter_context(
            subprocess.Popen(
                [command, "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            listening = re.search(r"listening on (\S+)", line)
            assert listening, f"durabletask-sidecar printed {line!r} and no address"
            yield listening[1], process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
