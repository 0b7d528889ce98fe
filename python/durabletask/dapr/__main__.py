"""`python -m durabletask.dapr program.py …`: runs a program for Dapr's SDK on this engine, without a change to it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

_USAGE = """\
usage: python -m durabletask.dapr PROGRAM [ARGUMENT ...]
       python -m durabletask.dapr -m MODULE [ARGUMENT ...]

Runs a Python program, or a module, that uses dapr.ext.workflow, with this engine in the place of Dapr's own.
"""


def main() -> int:
    """Run the program; the exit code is its own, or 2 if there is none to run."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["-m"]:
        asked = bool(arguments) and arguments[0] != "-m"
        (sys.stdout if asked else sys.stderr).write(_USAGE)
        return 0 if asked else 2
    # `python -m` has put the current directory first; a program finds its own, as when it is run by itself.
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    program = Path(arguments[0])
    if not program.exists():
        sys.stderr.write(f"python -m durabletask.dapr: there is no {program}\n")
        return 2
    sys.argv = arguments
    if program.is_file():
        sys.path[0] = str(program.resolve().parent)
    runpy.run_path(str(program), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
