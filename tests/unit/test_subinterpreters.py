"""The extension module runs in one interpreter of a process, and says so to another."""

from __future__ import annotations

import subprocess
import sys

# The module's name has changed with each release that had one.
PROGRAM = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{first}
# One that shares the interpreter's lock: Python itself keeps the module out of the others.
legacy = interpreters.create("legacy") if hasattr(interpreters, "new_config") else interpreters.create(isolated=False)
found = interpreters.run_string(legacy, '''
try:
    import durabletask._core
except ImportError as error:
    message = str(error)
    print(message, flush=True)
else:
    print("imported", flush=True)
''')
assert found is None, found
{after}
"""


def run(first: str = "", after: str = "") -> str:
    program = PROGRAM.format(first=first, after=after)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_interpreter_is_told_that_the_first_has_it() -> None:
    said = run("import durabletask._core")
    assert "another one has imported it already" in said


def test_the_first_to_import_it_has_it() -> None:
    said = run(
        after="""
try:
    import durabletask._core
except ImportError as error:
    assert "another one has imported it already" in str(error), error
else:
    raise AssertionError("imported twice")
"""
    )
    assert said == "imported"
