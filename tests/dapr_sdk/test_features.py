"""Dapr's SDK finds the same on this engine as on its own, with one program that uses all of it.

DURABLETASK_DAPR_SDK names the versions, each in an environment of its own; `make test-dapr-sdk` sets up all of them.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.command import sidecar_command
from support.dapr_sdk import VERSIONS, environment, sdk_python

HERE = Path(__file__).resolve().parent

EXPECTED: dict[str, Any] = {
    "chaining": 4,
    "fan-out": 14,
    "models": [{"item": "tea", "amount": 4}, {"amount": 8}],
    "child workflows": [3, 6],
    "retries": [3, "TaskFailedError"],
    "events": [
        True,
        {
            "approval": {"by": "me"},
            "timer won": True,
            "late": "Timed out after datetime.timedelta(microseconds=20000) waiting for external event 'late'",
            "then": 2,
        },
    ],
    "timers": True,
    "continue as new": 3,
    "patches": True,
    "failures": ["FAILED", "TaskFailedError", "ID: Activity task #1 failed: this never works"],
    "management": ["SUSPENDED", "RUNNING", "TERMINATED", '"enough"', None],
    "async client": ["COMPLETED", True, None, "TERMINATED"],
    "messages": [
        "ActivityResponse with a token: True",
        "GetWorkItemsRequest",
        "activityRequest",
        "workflowRequest",
    ],
}
EXPECTED_1_18 = {"a fan-out that fails": [False, "ValueError", "this never works"]}
EXPECTED_1_19 = {
    "a fan-out that fails": [True, "ValueError", "this never works"],
    "histories": {
        "calls": [1, 2, 3],
        "kinds": [
            "EXECUTION_STARTED",
            *(["TASK_SCHEDULED", "TASK_COMPLETED"] * 3),
            "EXECUTION_COMPLETED",
        ],
        "copy": ["again", 102],
        "page": [1, True],
        "listed": True,
        "refused": ["ValueError"] * 3,
    },
    "versions": ["v1", "v2"],
}


NOT_AWAITED = {
    "1.18.0": {"fan-out", "a fan-out that fails", "failures"},
}
"""Scenarios with `async def` activities, where a release's own engine does not await these: its next release does."""


def run(version: str, *arguments: str) -> Any:
    """What the program finds, on a sidecar of its own."""
    with sidecar_command() as address:
        process = subprocess.run(
            [sdk_python(version), *arguments, HERE / "features.py", address],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_finds_the_same_on_both_engines(version: str) -> None:
    ours, theirs = run(version, "-m", "durabletask.dapr"), run(version)
    assert "durabletask/dapr/engine" in ours["engine"]
    assert "dapr/ext/workflow/_durabletask" in theirs["engine"]
    for scenario in NOT_AWAITED.get(version, ()):
        found = json.dumps(theirs["results"].pop(scenario))
        assert "Object of type coroutine is not JSON serializable" in found, scenario
    both = {name: ours["results"][name] for name in theirs["results"]}
    assert both == theirs["results"]
    expected = {**EXPECTED, **(EXPECTED_1_18 if version.startswith("1.18") else EXPECTED_1_19)}
    assert {name: ours["results"].get(name) for name in expected} == expected
