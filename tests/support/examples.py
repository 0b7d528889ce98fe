"""The examples as programs: how to run one, and what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# What each example prints, a pattern for each line; the order does not matter.
PRINTED = {
    "function_chaining": [r'\["Hello Tokyo!", "Hello Seattle!", "Hello London!"\]'],
    "fan_out_fan_in": [r'\{"books": \{"fox": 9, "lorem": 5, "rain": 9\}, "words": 23\}'],
    "human_interaction": [
        r'pencil: \["ordered 3 x pencil"\]',
        r'piano: \["asked for 9,000\.00", "approved by Ada", "ordered 1 x piano"\]',
        r'yacht: \["asked for 500,000\.00", "declined by Bob"\]',
        r'castle: \["asked for 3,000,000\.00", "nobody decided in time"\]',
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
    "custom_objects": [
        r'\{"invoice": "Ada pays 45\.00 by 2026-03-15", "paid": "40\.00", "rest": "5\.00"\}'
    ],
}


def run_example(example: str, *arguments: str, python: str = sys.executable, **env: str) -> None:
    """Run an example, and fail unless it ends with 0 and prints what `PRINTED` says."""
    process = subprocess.run(
        [python, EXAMPLES / f"{example}.py", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    shown = f"examples/{example}.py printed\n{process.stdout}\nand, as errors,\n{process.stderr}"
    assert process.returncode == 0, f"ended with {process.returncode}; {shown}"

    lines = process.stdout.splitlines()
    expected = PRINTED[example]
    missing = [each for each in expected if not any(re.fullmatch(each, line) for line in lines)]
    assert not missing, f"no line matches {missing}; {shown}"
    assert len(lines) == len(expected), f"{len(expected)} lines were expected; {shown}"
