"""Runs a part of a bench in a process of its own, under the interpreter of the package that is measured.

That part is a function of the bench's own file: it gets a JSON object, says what it does, and returns one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import BenchError

FLAG = "--inside"


def call(python: Path, script: str, task: dict[str, Any]) -> dict[str, Any]:
    """Let `script` do a task under an interpreter, which may be that of another package.

    Raises:
        BenchError: if it fails; it has said why.
    """
    # Nothing of this project may stand in the way of its namesakes.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command: list[str | Path] = [python, script, FLAG, json.dumps(task)]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**environment, "PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise BenchError(f"{Path(script).name} under {python} ended with {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def serve(function: Callable[[dict[str, Any]], dict[str, Any]], main: Callable[[], None]) -> None:
    """Do the task that `call` has put on the command line; without one, be the bench."""
    if sys.argv[1:2] == [FLAG]:
        print(json.dumps(function(json.loads(sys.argv[2]))))
        return
    try:
        main()
    except BenchError as error:
        sys.exit(f"benches/{Path(sys.argv[0]).name}: {error}")
