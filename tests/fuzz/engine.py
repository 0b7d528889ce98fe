"""Random bytes for the engine: `python -m fuzz.engine --seconds 300`.

Recorded work items, what is damaged of them, spliced together or made up, go to where bytes from outside are read: a
worker's executor with live orchestrators, one without, the strict check of a history, and the reader of history files.
Each has to answer, or to refuse with an error that a caller can expect, and none may need more memory than a small
multiple of its input.

Prints one JSON object; the exit code is 1 if something of that is not so.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from durabletask import _core
from durabletask.replay import HistoryFormatError, Replayer
from durabletask.worker import _Registry

from fuzz.chance import Chance
from recordings import scenarios
from support import messages
from support.turns import read_turns, recorded_scenarios

MOST_MEMORY = 20
"""How many times the input's size a reader may need beside what it needs anyway."""
SLACK = 8 * 1024 * 1024
"""Bytes that a reader may need whatever the input: the interpreter, the allocator and the orchestrators themselves."""
LARGE = 4 * 1024 * 1024
"""What inputs are repeated up to where memory is measured."""


class Targets:
    """Where bytes from outside are read."""

    def __init__(self, folder: Path) -> None:
        registry = _Registry()
        names = set()
        for orchestrators, _ in scenarios.SCENARIOS.values():
            for orchestrator in orchestrators:
                if orchestrator.__name__ not in names:
                    names.add(orchestrator.__name__)
                    registry.add_orchestrator(orchestrator)
        silent = logging.getLogger("fuzz.engine")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        silent.setLevel(logging.CRITICAL)
        self._cold = _core.Executor(registry, silent)
        self._live = _core.Executor(registry, silent, replay_cache=(50, 1 << 24, 600.0))
        self._replayer = Replayer(list(registry.orchestrators.values()))
        self._file = folder / "history.bin"

    def all(self) -> dict[str, Callable[[bytes], None]]:
        """What takes bytes, by name."""
        return {
            "cold turn": self._turn(self._cold),
            "live turn": self._turn(self._live),
            "dispatcher": self._decode,
            "check": self._check,
            "history file": self._check_file,
        }

    @staticmethod
    def _turn(executor: Any) -> Callable[[bytes], None]:
        def turn(data: bytes) -> None:
            try:
                response = executor.execute_work_item(data)
            except LookupError:
                return  # a past that is left out and can not be had: not answered, on purpose
            messages.message_class("OrchestratorResponse").FromString(response)

        return turn

    @staticmethod
    def _decode(data: bytes) -> None:
        _core.decode_work_item(data)

    def _check(self, data: bytes) -> None:
        self._refused(lambda: self._replayer.check(data))

    def _check_file(self, data: bytes) -> None:
        self._file.write_bytes(data)
        self._refused(lambda: self._replayer.check(self._file))

    @staticmethod
    def _refused(check: Callable[[], Any]) -> None:
        try:
            check()
        except HistoryFormatError:
            return


def run(seconds: float, seed: int) -> dict[str, Any]:
    """Feed the readers for so long; what was seen."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(seconds, seed, Targets(Path(folder)).all())


def _run(seconds: float, seed: int, targets: dict[str, Callable[[bytes], None]]) -> dict[str, Any]:
    chance = Chance(seed)
    recorded = [turn.work_item for path in recorded_scenarios() for turn in read_turns(path)]
    fed: Counter[str] = Counter()
    problems: list[str] = []
    most = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = _input(chance, recorded)
        if chance.random.random() < 0.005:
            data = _large(chance, recorded)
        for name, target in targets.items():
            if name == "history file" and chance.random.random() < 0.95:
                continue  # the same as without a file, and far slower
            fed[name] += 1
            measured = len(data) >= LARGE // 2
            before = _peak_reset() if measured else 0
            try:
                target(data)
            except BaseException as error:  # a panic of the engine is no Exception
                problems.append(
                    f"{name}: {type(error).__name__}: {error}; input {data[:200].hex()}"
                )
                if isinstance(error, KeyboardInterrupt):
                    raise
            if measured:
                used = _peak() - before
                most = max(most, used / len(data))
                if used > MOST_MEMORY * len(data) + SLACK:
                    problems.append(f"{name}: {used} bytes for an input of {len(data)}")
    return {
        "seed": seed,
        "inputs": dict(fed),
        "memory_times_input": round(most, 1),
        "problems": problems[:20],
        "problems_in_all": len(problems),
    }


def _input(chance: Chance, recorded: list[bytes]) -> bytes:
    draw = chance.random
    what = draw.randrange(6)
    if what == 0:
        return draw.choice(recorded)
    if what == 1:
        return chance.bytes_like(draw.choice(recorded))
    if what == 2:
        one, other = draw.choice(recorded), draw.choice(recorded)
        return one[: draw.randrange(len(one))] + other[draw.randrange(len(other)) :]
    if what == 3:
        made: bytes = chance.message("WorkItem").SerializeToString()
        return made
    if what == 4:
        item = messages.message_class("WorkItem").FromString(draw.choice(recorded))
        events = [*item.orchestratorRequest.pastEvents, *item.orchestratorRequest.newEvents]
        draw.shuffle(events)
        cut = draw.randrange(len(events) + 1)
        del item.orchestratorRequest.pastEvents[:], item.orchestratorRequest.newEvents[:]
        item.orchestratorRequest.pastEvents.extend(events[:cut])
        item.orchestratorRequest.newEvents.extend(events[cut:])
        shuffled: bytes = item.SerializeToString()
        return shuffled
    return draw.randbytes(draw.randrange(200))


def _large(chance: Chance, recorded: list[bytes]) -> bytes:
    """A work item whose events repeat until it is large."""
    item = messages.message_class("WorkItem").FromString(chance.random.choice(recorded))
    request = item.orchestratorRequest
    events = [*request.pastEvents, *request.newEvents]
    size = sum(event.ByteSize() for event in events)
    for _ in range(LARGE // max(size, 1)):
        (request.pastEvents if chance.random.random() < 0.5 else request.newEvents).extend(events)
    large: bytes = item.SerializeToString()
    return large


def _status(name: str) -> int:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _peak() -> int:
    """The most memory that this process has had since the last reset; 0 where the system does not tell."""
    return _status("VmHWM:")


def _peak_reset() -> int:
    """Begin anew; return what the process has now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return sys.maxsize  # nothing can be measured here
    return _status("VmRSS:")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--seconds", type=float, default=300, help="how long (300)")
    add("--seed", type=int, default=random.randrange(2**32), help="of what is random (random)")
    arguments = parser.parse_args()
    found = run(arguments.seconds, arguments.seed)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
