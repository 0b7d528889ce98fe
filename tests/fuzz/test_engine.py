"""The short form of feeding the engine random bytes; `make fuzz` is the long one."""

from __future__ import annotations

import json
import random

from fuzz.engine import run


def test_the_engine_answers_or_refuses_whatever_the_bytes_are() -> None:
    seed = random.randrange(2**32)
    found = run(seconds=2, seed=seed)
    assert not found["problems"], f"found with --seed {seed}: {json.dumps(found, indent=1)}"
    assert found["inputs"]["cold turn"] > 10, found
