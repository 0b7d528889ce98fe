"""What a program receives is what it received on durabletask-dapr 0.17.4, whatever it annotates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from durabletask.sidecar import Sidecar

from support.environments import COMPAT, interpreter_with

TESTS = Path(__file__).resolve().parents[1]


def test_payloads_arrive_and_can_be_used_as_on_the_peer() -> None:
    peer = received_by(interpreter_with(COMPAT, "durabletask-dapr", "0.17.4"))
    ours = received_by(sys.executable)
    assert len(peer) > 30
    for annotation, payloads in peer.items():
        for index, (expected, found) in enumerate(zip(payloads, ours[annotation], strict=True)):
            assert found == expected, f"annotated with {annotation}, payload {index // 2}"


def received_by(python: str) -> dict[str, list[Any]]:
    with Sidecar() as sidecar:
        process = subprocess.run(
            [python, TESTS / "compat/received.py", sidecar.address],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            timeout=90,
        )
    assert process.returncode == 0, process.stderr
    found: dict[str, list[Any]] = json.loads(process.stdout)
    return found
