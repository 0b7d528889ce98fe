"""Plays many random programs on this package and on durabletask-dapr 0.17.4, and compares every turn.

    python -m parity.run --programs 20000 --seed 7      (in tests; or `make test-parity`)

A program's case depends only on the seed and the program's number. The first case that differs is
shrunk, saved under `cases`, and ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from parity.chance import new_case
from parity.deviations import KINDS
from parity.play import Case, Play, play_together
from parity.reference import Reference

BATCH = 100
"""Programs that are played together."""
PROGRESS = 2000
"""Programs after which a run says how far it is; whole batches."""


@dataclass
class Result:
    """What a run has seen."""

    programs: int = 0
    turns: int = 0
    deviating: Counter[str] = field(default_factory=Counter)
    failed: Play | None = None

    def add(self, play: Play) -> None:
        self.programs += 1
        self.turns += play.turns
        self.deviating.update(set(play.kinds))
        if play.difference is not None and self.failed is None:
            self.failed = play


def run(
    reference: Reference,
    numbers: Iterable[int],
    seed: int,
    progress: Callable[[Result], None] | None = None,
) -> Result:
    """Play the programs with these numbers; stop after the batch in which one differs."""
    result, waiting = Result(), list(numbers)
    while waiting and result.failed is None:
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        plays = []
        for number in batch:
            case, chooser = new_case(f"{seed}/{number}")
            plays.append(Play(case, chooser.next_turn))
        play_together(reference, plays)
        for play in plays:
            result.add(play)
        if progress is not None and result.programs % PROGRESS == 0:
            progress(result)
    return result


def summary(result: Result, seed: int) -> str:
    lines = [f"programs: {result.programs}", f"turns compared: {result.turns}", f"seed: {seed}"]
    lines.append("programs that met a deviation, by kind:")
    lines += [f"  {result.deviating[kind]:6} {kind}" for kind in KINDS]
    return "\n".join(lines)


def report(reference: Reference, case: Case) -> str:
    """Shrink a case that differs, save it, and say how to run it again."""
    from parity.cases import save
    from parity.shrink import shrink

    smallest, difference = shrink(reference, case)
    path = save(smallest)
    return (
        f"{difference}\n--- case\n{path.read_text()}\nsaved as {path}; run it again with\n"
        f"    python -m pytest tests/parity/test_cases.py -k {path.stem}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare replay with durabletask-dapr 0.17.4.")
    parser.add_argument("--programs", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--number", type=int, help="only the program with this number")
    options = parser.parse_args()
    seed = time.time_ns() % 10**9 if options.seed is None else options.seed
    numbers = range(options.programs) if options.number is None else [options.number]
    with Reference() as reference:
        started = time.monotonic()

        def show(result: Result) -> None:
            seconds = time.monotonic() - started
            print(f"{result.programs} of {len(numbers)} programs, {seconds:.0f} s", file=sys.stderr)

        result = run(reference, numbers, seed, show)
        print(summary(result, seed))
        print(f"took {time.monotonic() - started:.0f} s")
        if result.failed is None:
            return 0
        print(report(reference, result.failed.case))
    return 1


if __name__ == "__main__":
    sys.exit(main())
