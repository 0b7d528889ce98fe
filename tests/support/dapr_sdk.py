"""Dapr's SDK in environments of its own, one for each version of it."""

from __future__ import annotations

import os
from pathlib import Path

import durabletask

from support.environments import interpreter_with

VERSIONS = os.environ.get("DURABLETASK_DAPR_SDK", "1.18.3,1.19.0").split(",")


def sdk_python(version: str) -> str:
    """Return the interpreter that has this version of Dapr's SDK, or fail the test."""
    package = "dapr-ext-workflow" if version.startswith("1.18") else "dapr"
    folder = ("DURABLETASK_DAPR_SDK_PYTHON", f".venv-dapr-sdk-{version}")
    return interpreter_with(folder, package, version, "make test-dapr-sdk")


def environment() -> dict[str, str]:
    """The environment variables of a process that finds this package beside the SDK."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DAPR_")}
    return {**ours, "PYTHONPATH": str(Path(durabletask.__file__).parent.parent)}
