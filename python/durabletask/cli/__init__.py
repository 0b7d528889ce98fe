"""The `durabletask` command: what one does with orchestrations from a shell, and in CI.

durabletask worker my_app:worker --processes 4
durabletask replay --app my_app:worker histories/
durabletask history export ID -o histories/one.json
"""

from __future__ import annotations

import argparse
import os
import sys

from durabletask import _core
from durabletask.cli import _history, _replay, _worker

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        The exit code; what it means stands in each command's `--help`. Wrong arguments end the process with 2.
    """
    parser = argparse.ArgumentParser(
        prog="durabletask", description="Durable orchestrations from the shell."
    )
    parser.add_argument(
        "--version", action="version", version=f"durabletask-rs {_core.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _worker.add_to(commands)
    _replay.add_to(commands)
    _history.add_to(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python writes what is left at exit, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
