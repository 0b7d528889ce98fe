"""Payloads are written, and arrive, as on Dapr's own engine, on every way that they take."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.command import sidecar_command
from support.dapr_sdk import VERSIONS, environment, sdk_python

HERE = Path(__file__).resolve().parent


def found_by(version: str, *arguments: str) -> list[dict[str, Any]]:
    with sidecar_command() as address:
        process = subprocess.run(
            [sdk_python(version), *arguments, HERE / "payloads.py", address],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert process.returncode == 0, process.stderr
    found: list[dict[str, Any]] = json.loads(process.stdout)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_payloads_are_those_of_daprs_engine(version: str) -> None:
    ours, theirs = found_by(version, "-m", "durabletask.dapr"), found_by(version)
    assert len(ours) == len(theirs) > 50
    for number, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        if expected["event is lost"] and "event" in expected:
            # The one difference: clients of Dapr's engine send no 0, "", False, [] or {}.
            assert expected.pop("event")[0] == "NoneType None"
            assert found.pop("event") == found["continuing"]
        assert found == expected, f"VALUES[{number}] of payloads.py"
