"""Every example runs as a program of its own, prints what its readers expect, and ends with 0."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.examples import EXAMPLES, PRINTED, run_example
from support.sidecar import sidecar_address


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with sidecar_address() as address:
        yield address


@pytest.mark.parametrize("example", PRINTED)
def test_example_runs_with_a_sidecar_of_its_own(example: str) -> None:
    run_example(example)


@pytest.mark.parametrize("example", PRINTED)
def test_example_runs_on_the_sidecar_it_is_given(example: str, address: str) -> None:
    run_example(example, address)


def test_example_takes_the_address_from_the_environment(address: str) -> None:
    run_example("function_chaining", DAPR_GRPC_ENDPOINT=f"http://{address}")


def test_example_stays_with_a_given_address_where_nobody_listens() -> None:
    """A sidecar of its own would hide that the address is wrong."""
    process = subprocess.run(
        [sys.executable, EXAMPLES / "function_chaining.py", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode != 0
    assert "UNAVAILABLE" in process.stderr


def test_every_example_is_run() -> None:
    programs = {path.stem for path in EXAMPLES.glob("[a-z]*.py")}
    assert programs == PRINTED.keys(), "say in tests/support/examples.py what a new example prints"
