"""The instances that live through faults: one orchestrator for each kind, what it must return and which effects it has.

An effect is a file in a folder: each run of an activity adds a line to the file of its instance and key, with the
process that it was in and when it was.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from durabletask import task

Steps = Generator[task.Task[Any], Any, Any]

EVENT = "go"
FAILURES = 2
"""How often an activity of `retries` fails before it does its work."""

_EFFECTS = "FAULTS_EFFECTS"


def effects_folder() -> Path:
    """Where effects are noted; set by the environment, which each worker process gets from the run."""
    return Path(os.environ[_EFFECTS])


def _note(instance_id: str, key: str) -> int:
    """Note a run; return how many there have been."""
    path = effects_folder() / f"{instance_id.replace(':', '+')}~{key}"
    with path.open("ab") as file:
        file.write(f"{os.getpid()} {time.monotonic():.4f}\n".encode())
    return path.read_bytes().count(b"\n")


def work(ctx: task.ActivityContext, given: tuple[str, int]) -> int:
    """Have an effect, and return the number doubled."""
    key, number = given
    _note(ctx.orchestration_id, key)
    return number * 2


async def async_work(ctx: task.ActivityContext, given: tuple[str, int]) -> int:
    """Do the same after a while, on the event loop."""
    await asyncio.sleep(0.02)
    return work(ctx, given)


def flaky_work(ctx: task.ActivityContext, given: tuple[str, int]) -> int:
    """Fail the first times."""
    key, number = given
    if _note(ctx.orchestration_id, key) <= FAILURES:
        raise RuntimeError("not yet")
    return number * 2


def chain(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Call one activity after the other."""
    for step in range(5):
        number = yield ctx.call_activity(work, input=(f"c{step}", number))
    return number


def fan_out(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Call activities all at once, of both sorts."""
    calls = [ctx.call_activity(work, input=(f"f{step}", number + step)) for step in range(3)]
    calls += [ctx.call_activity(async_work, input=(f"a{step}", step)) for step in range(3)]
    return sum((yield task.when_all(calls)))


def timers(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Sleep between activities."""
    for step in range(3):
        yield ctx.create_timer(timedelta(milliseconds=200))
        number = yield ctx.call_activity(work, input=(f"t{step}", number))
    return number


def events(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Wait for somebody outside."""
    number = yield ctx.call_activity(work, input=("before", number))
    told = yield ctx.wait_for_external_event(EVENT)
    return (yield ctx.call_activity(work, input=("after", number + told)))


def family(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Have children that do the work."""
    children = [ctx.call_sub_orchestrator(child, input=number + each) for each in range(2)]
    return sum((yield task.when_all(children)))


def child(ctx: task.OrchestrationContext, number: int) -> Steps:
    """One of the two of `family`."""
    number = yield ctx.call_activity(work, input=("first", number))
    return (yield ctx.call_activity(async_work, input=("second", number)))


def generations(ctx: task.OrchestrationContext, given: list[int]) -> Steps:
    """Start over again and again."""
    round_, number = given
    number = yield ctx.call_activity(work, input=(f"g{round_}", number))
    if round_ < 3:
        ctx.continue_as_new([round_ + 1, number])
        return None
    return number


def retries(ctx: task.OrchestrationContext, number: int) -> Steps:
    """Call what fails at first."""
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=50
    )
    return (yield ctx.call_activity(flaky_work, input=("r", number), retry_policy=policy))


@dataclass(frozen=True)
class Kind:
    """An orchestrator, the input for a number, its result, and its effects by suffix: key and least runs."""

    orchestrator: Callable[..., Any]
    result: Callable[[int], int]
    effects: dict[str, dict[str, int]]
    input: Callable[[int], Any] = lambda number: number

    def effect_files(self, instance_id: str) -> dict[str, int]:
        """The names of the files that an instance leaves, and the fewest lines of each."""
        return {
            f"{instance_id}{suffix}~{key}": least
            for suffix, keys in self.effects.items()
            for key, least in keys.items()
        }


def _once(*keys: str) -> dict[str, int]:
    return dict.fromkeys(keys, 1)


KINDS = (
    Kind(chain, lambda n: n * 32, {"": _once("c0", "c1", "c2", "c3", "c4")}),
    Kind(
        fan_out,
        lambda n: 6 * n + 6 + 6,
        {"": _once("f0", "f1", "f2", "a0", "a1", "a2")},
    ),
    Kind(timers, lambda n: n * 8, {"": _once("t0", "t1", "t2")}),
    Kind(events, lambda n: (n * 2 + 7) * 2, {"": _once("before", "after")}),
    Kind(
        family,
        lambda n: n * 4 + (n + 1) * 4,
        {"+0001": _once("first", "second"), "+0002": _once("first", "second")},
    ),
    Kind(
        generations,
        lambda n: n * 16,
        {"": _once("g0", "g1", "g2", "g3")},
        input=lambda number: [0, number],
    ),
    Kind(retries, lambda n: n * 2, {"": {"r": FAILURES + 1}}),
)

ORCHESTRATORS = (*(kind.orchestrator for kind in KINDS), child)
ACTIVITIES = (work, async_work, flaky_work)
EVENT_DATA = 7
