"""Environments of other packages, which the Makefile sets up beside the project's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ("DURABLETASK_COMPAT_PYTHON", ".venv-compat")
EXT = ("DURABLETASK_EXT_PYTHON", ".venv-ext")


def interpreter(environment: tuple[str, str]) -> str:
    """Return the path of an environment's interpreter; the variable that it names goes before its folder."""
    variable, folder = environment
    return os.environ.get(variable, str(ROOT / folder / "bin/python"))


def interpreter_with(
    environment: tuple[str, str], package: str, version: str, target: str = "make test-compat"
) -> str:
    """Return the path of an environment's interpreter, or fail the test if the environment lacks the package."""
    python = interpreter(environment)
    code = f"from importlib.metadata import version; print(version({package!r}))"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail(f"{python} does not exist: `{target}` sets it up")
    assert found.stdout.strip() == version, f"{python} has no {package} {version}: {found}"
    return python
