"""The short form of a run of faults; `make test-faults` is the long one."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from faults.judge import failed
from faults.run import run
from support.sidecar import GIVEN


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP and SIGKILL")
@pytest.mark.skipif(GIVEN is not None, reason="kills the sidecar, so that it needs one of its own")
def test_nothing_is_lost_stuck_or_wrong_after_kills_and_a_full_disk(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    found = run(seconds=4, instances=42, workers=2, seed=seed, folder=tmp_path)
    report = json.dumps(found, indent=1)
    assert not failed(found), f"faults with --seed {seed} left this behind: {report}"
    assert found["activities_run"] >= found["instances"], report
