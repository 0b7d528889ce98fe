"""Random programs are answered as 0.17.4 answers them, turn by turn, save for the listed deviations.

PARITY_PROGRAMS sets how many programs are played (default: 2,000), PARITY_SEED makes it the same ones
again. `make test-parity PROGRAMS=20000 SEED=7` plays many at a time, and shows what it met.
"""

from __future__ import annotations

import os
import time

import pytest
from parity.reference import Reference
from parity.run import report, run

PROGRAMS = int(os.environ.get("PARITY_PROGRAMS") or 2000)
SHARDS = 4
"""Tests that the programs are divided among, so that they can run in parallel."""


# A case that differs takes up to a minute to shrink.
@pytest.mark.timeout(240 + PROGRAMS // 10)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_programs_are_answered_as_by_the_reference(shard: int) -> None:
    seed = int(os.environ.get("PARITY_SEED") or time.time_ns() % 10**9)
    numbers = range(shard, PROGRAMS, SHARDS)
    with Reference() as reference:
        result = run(reference, numbers, seed)
        if result.failed is not None:
            pytest.fail(f"seed {seed}\n{report(reference, result.failed.case)}", pytrace=False)
    assert result.programs == len(numbers)
    assert result.turns > 2 * result.programs, "the programs end too soon to show anything"
