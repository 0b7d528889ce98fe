"""`python -m durabletask.dapr program.py …`: runs a program for Dapr's SDK on this engine, without a change to it."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_USAGE = """\
usage: python -m durabletask.dapr PROGRAM [ARGUMENT ...]
       python -m durabletask.dapr -m MODULE [ARGUMENT ...]
       python -m durabletask.dapr -c COMMAND [ARGUMENT ...]

Runs a Python program, a module or a command that uses dapr.ext.workflow, with this engine in the place of Dapr's own.
Processes that it starts anew have Dapr's own again, unless they import durabletask.dapr themselves.
"""


def main() -> int:
    """Run the program; the exit code is its own, or 2 if there is none to run."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help") or arguments in (["-m"], ["-c"]):
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        (sys.stdout if asked else sys.stderr).write(_USAGE)
        return 0 if asked else 2
    # `python -m` has put the current directory first; a program finds its own, as when it is run by itself.
    if arguments[0] == "-m":
        return _run_module(arguments[1], arguments[2:])
    if arguments[0] == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *arguments[2:]]
        _run(compile(arguments[1], "<string>", "exec"))
        return 0
    program = Path(arguments[0])
    if not program.exists():
        return _nothing(f"there is no {program}")
    sys.argv = arguments
    if not program.is_file() or program.suffix in (".zip", ".pyz", ".pyc"):
        runpy.run_path(str(program), run_name="__main__")
        return 0
    sys.path[0] = str(program.resolve().parent)
    _run(compile(program.read_bytes(), str(program), "exec"), __file__=str(program))
    return 0


def _run_module(name: str, arguments: list[str]) -> int:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:
        return _nothing(f"{name} can not be found: {error}")
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name) if spec else None
    if spec is None or code is None:
        return _nothing(f"there is no module {name} that can be run")
    sys.argv = [spec.origin or name, *arguments]
    _run(
        code,
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    return 0


def _run(code: CodeType, **names: Any) -> None:
    """Run code as the main module, which it stays: workers go on when the program has come to its last line."""
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(names)
    exec(code, vars(module))


def _nothing(why: str) -> int:
    sys.stderr.write(f"python -m durabletask.dapr: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
