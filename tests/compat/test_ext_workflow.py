"""dapr-ext-workflow 1.17.5 works on this package as on durabletask-dapr: runtime, contexts and both clients."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import durabletask

from support.command import sidecar_command
from support.environments import EXT, interpreter_with
from support.sidecar import GIVEN

TESTS = Path(__file__).resolve().parents[1]

EXPECTED: dict[str, Any] = {
    "chaining": 4,
    "fan-out": 14,
    "child workflows": [3, 6],
    "retries": [3, "TaskFailedError"],
    "events": [True, {"approval": {"by": "me"}, "timer won": True}],
    "timers": True,
    "continue as new": 3,
    "patches": True,
    "failures": ["FAILED", "TaskFailedError", True],
    "management": ["SUSPENDED", "RUNNING", "TERMINATED", '"enough"', None],
    "async client": ["COMPLETED", {"approval": True, "timer won": True}, None, "TERMINATED"],
    "versions": ["v1", "v2"],
}


@pytest.fixture(scope="module")
def ext_python() -> str:
    """Return the interpreter of the environment that holds dapr-ext-workflow, and no durabletask."""
    return interpreter_with(EXT, "dapr-ext-workflow", "1.17.5")


def test_dapr_ext_workflow_runs_end_to_end(ext_python: str) -> None:
    package = Path(durabletask.__file__).parent
    with nullcontext(GIVEN) if GIVEN else sidecar_command() as address:
        process = subprocess.run(
            [ext_python, TESTS / "compat/ext_workflow.py", address],
            env={**os.environ, "PYTHONPATH": str(package.parent), "DAPR_API_TOKEN": "a token"},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert found == EXPECTED, process.stderr


@pytest.mark.skipif(
    GIVEN is not None, reason="only the embedded sidecar has a time that can be skipped"
)
def test_time_passes_for_its_workflows_in_an_environment_for_tests(ext_python: str) -> None:
    package = Path(durabletask.__file__).parent
    process = subprocess.run(
        [ext_python, TESTS / "compat/ext_time.py"],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "['charged 3', '2000-01-31T00:00:00']"
