"""Every example runs as a program of its own, prints what its readers expect, and ends with 0."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from durabletask.sidecar import Sidecar

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# What each example prints. Orders from different instances may be printed in any order.
PRINTED = {
    "function_chaining": [r'\["Hello Tokyo!", "Hello Seattle!", "Hello London!"\]'],
    "fan_out_fan_in": [r'\{"books": \{"fox": 9, "lorem": 5, "rain": 9\}, "words": 23\}'],
    "human_interaction": [
        r"Approval wanted: 1 x castle for 3000000\.00",
        r"Approval wanted: 1 x piano for 9000\.00",
        r"Approval wanted: 2 x yacht for 500000\.00",
        r"Ordered: 1 x piano",
        r"Ordered: 3 x pencil",
        r'castle: "cancelled: nobody decided in time"',
        r'pencil: "placed without approval"',
        r'piano: "placed, approved by Ada"',
        r'yacht: "declined by Bob"',
    ],
    "sub_orchestrations": [
        r"the extra parcel: FAILED",
        (
            r'\{"parcels": \["box with book", "box with lamp"\], "left out": '
            r'"[0-9a-f]{32}-extra: Activity task #1 failed: no unicorn on the shelves"\}'
        ),
    ],
    "retries": [
        r"busy all day: ConnectionError: service is busy, attempt 4",
        r"busy at first: charged on attempt 3",
        r"declined: NonRetryableError: card declined on attempt 1",
        r"locked out: PermissionError: wrong key on attempt 1",
    ],
    "continue_as_new": [r'\{"readings": 20, "kWh": 210\}'],
    "suspend_resume_terminate": [
        r'COMPLETED: \["fuel by Ada", "weather by Bob"\]',
        r"SUSPENDED: waiting for fuel",
        r'TERMINATED: "it rains"',
        r"after purging: None",
    ],
    "custom_objects": [r'\{"invoice": "Ada pays 45\.00", "paid": 40\.0, "rest": 5\.0\}'],
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Sidecar() as sidecar:
        yield sidecar.address


def run(example: str, *arguments: str, **variables: str) -> list[str]:
    process = subprocess.run(
        [sys.executable, EXAMPLES / f"{example}.py", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, f"{example} failed:\n{process.stdout}{process.stderr}"
    return process.stdout.splitlines()


def assert_printed(example: str, lines: list[str]) -> None:
    expected = sorted(PRINTED[example])
    found = sorted(lines)
    assert len(found) == len(expected), found
    for pattern in expected:
        assert any(re.fullmatch(pattern, line) for line in found), f"no {pattern!r} in {found}"


@pytest.mark.parametrize("example", PRINTED)
def test_example_runs_with_a_sidecar_of_its_own(example: str) -> None:
    assert_printed(example, run(example))


@pytest.mark.parametrize("example", PRINTED)
def test_example_runs_on_the_sidecar_it_is_given(example: str, address: str) -> None:
    assert_printed(example, run(example, address))


def test_example_takes_the_address_from_the_environment(address: str) -> None:
    lines = run("function_chaining", DAPR_GRPC_ENDPOINT=f"http://{address}")
    assert_printed("function_chaining", lines)


def test_example_stays_with_a_given_address_where_nobody_listens() -> None:
    """Nothing of its own takes over, so that a wrong address shows."""
    process = subprocess.run(
        [sys.executable, EXAMPLES / "function_chaining.py", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode != 0
    assert "UNAVAILABLE" in process.stderr


def test_every_example_is_listed_here() -> None:
    programs = {path.stem for path in EXAMPLES.glob("[a-z]*.py")}
    assert programs == PRINTED.keys(), "describe in PRINTED what a new example prints"
