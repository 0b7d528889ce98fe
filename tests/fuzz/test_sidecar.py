"""The short form of making random calls to the embedded sidecar; `make fuzz-sidecar` is the long one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from fuzz.run import run
from support.sidecar import GIVEN


@pytest.mark.skipif(GIVEN is not None, reason="calls the embedded sidecar, a process of its own")
def test_the_sidecar_answers_every_call_in_time_and_keeps_no_orphan(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    found = run(seconds=4, seed=seed, folder=tmp_path)
    assert not found["problems"], f"found with --seed {seed}: {json.dumps(found, indent=1)}"
    assert found["calls"] > 100, found
