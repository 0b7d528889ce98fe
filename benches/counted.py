"""Replays histories where callgrind can count it: `instructions.py` runs this under valgrind.

callgrind writes a count and begins at zero whenever the C library's `ctermid` is called, which nobody else does and
which `os.ctermid` is the way to. So no function of ours has to be found by its name, and any build can be counted.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contestant import make
from warm import read_requests

WARM_UPS = 2
"""Replays before the one that counts: the interpreter specializes what runs often, and fills its caches."""


def replay(workload: str, steps: int, path: Path) -> Callable[[], bytes]:
    """Replays of a whole history."""
    request = path.read_bytes()
    execute = partial(make("ours", workload, steps), request)
    for _ in range(WARM_UPS):
        execute()
    return execute


def last_turn(path: Path) -> Callable[[], bytes]:
    """The last of some turns of an orchestrator that has lived through those before."""
    from durabletask.replay import Replayer
    from durabletask.worker import ReplayCacheOptions

    from orchestrators import chain

    *turns, last = read_requests(path)
    replayer = Replayer([chain], replay_cache=ReplayCacheOptions())
    for turn in turns:
        replayer.execute(turn)
    return partial(replayer.execute, last)


def main(plan: list[dict[str, Any]]) -> None:
    """Do what a plan lists, each with a workload or without, a file that it reads and one for the response."""
    mark = os.ctermid
    for each in plan:
        path = Path(each["request"])
        workload = each["workload"]
        execute = replay(workload, each["steps"], path) if workload else last_turn(path)
        gc.collect()
        mark()
        response = execute()
        mark()
        Path(each["response"]).write_bytes(response)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
