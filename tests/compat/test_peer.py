"""Client and worker of durabletask-dapr 0.17.4 end on our sidecar as on durabletask-go's."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from support.command import sidecar_command
from support.environments import COMPAT, interpreter_with
from support.examples import PRINTED, run_example
from support.sidecar import GIVEN

TESTS = Path(__file__).resolve().parents[1]
RECORDED = json.loads((TESTS / "recordings/durabletask-go-results.json").read_text())

# Typed payloads are not in 0.17.4.
BEYOND_THE_PEER = {"custom_objects"}


@pytest.fixture(scope="session")
def peer_python() -> str:
    """Return the interpreter of the environment that holds durabletask-dapr 0.17.4."""
    return interpreter_with(COMPAT, "durabletask-dapr", "0.17.4")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with nullcontext(GIVEN) if GIVEN else sidecar_command() as address:
        yield address


def without_ids(result: Any) -> Any:
    """Replace generated instance ids, which differ from run to run."""
    return json.loads(re.sub(r"\b[0-9a-f]{32}\b", "<id>", json.dumps(result)))


@pytest.mark.parametrize("scenario", RECORDED)
def test_scenario_ends_as_on_the_go_sidecar(scenario: str, address: str, peer_python: str) -> None:
    process = subprocess.run(
        [peer_python, TESTS / "compat/peer.py", address, scenario],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert without_ids(found) == without_ids(RECORDED[scenario]["result"]), process.stderr


@pytest.mark.parametrize("example", sorted(PRINTED.keys() - BEYOND_THE_PEER))
def test_example_runs_unchanged_on_the_peer(example: str, address: str, peer_python: str) -> None:
    run_example(example, address, python=peer_python)
