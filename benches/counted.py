"""Replays histories where callgrind can count it: `instructions.py` runs this under valgrind.

callgrind writes a count and begins at zero whenever the C library's `ctermid` is called, which nobody else does and
which `os.ctermid` is the way to. So no function of ours has to be found by its name, and any build can be counted.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from contestant import make

WARM_UPS = 2
"""Replays before the one that counts: the interpreter specializes what runs often, and fills its caches."""


def main(plan: Path) -> None:
    """Replay what a plan lists, `[[workload, steps, path of the request, path for the response]]`."""
    mark = os.ctermid
    for workload, steps, request_path, response_path in json.loads(plan.read_text()):
        request = Path(request_path).read_bytes()
        execute = make("ours", workload, steps)
        for _ in range(WARM_UPS):
            execute(request)
        gc.collect()
        mark()
        response = execute(request)
        mark()
        Path(response_path).write_bytes(response)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
