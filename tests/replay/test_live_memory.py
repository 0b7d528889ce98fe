"""What live orchestrators are taken to cost: what they wait for and hold, not what they went through."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.task import when_all
from durabletask.worker import ReplayCacheOptions

from support.history import History

CALLS = 2_000


def gather(ctx: Any, calls: int) -> Any:
    yield when_all([ctx.call_activity("a") for _ in range(calls)])
    yield ctx.wait_for_external_event("go")


def gathering(calls: int, *, instance_id: str = "abc") -> History:
    return History("gather", calls, instance_id=instance_id)


def all_called(history: History, calls: int) -> History:
    for number in range(1, calls + 1):
        history.scheduled(number, "a")
    return history.turn()


def kept(replayer: Replayer) -> int:
    return replayer.replay_cache_counters["bytes"]


def test_calls_that_are_waited_for_count_until_they_are_over() -> None:
    replayer = Replayer([gather], replay_cache=ReplayCacheOptions())
    replayer.execute(gathering(1).encode())
    little = kept(replayer)
    history = gathering(CALLS)
    replayer.execute(history.encode())
    called = kept(replayer)
    assert called > little + CALLS * 100, f"{called} bytes with {CALLS} calls, {little} with one"
    all_called(history, CALLS)
    for number in range(1, CALLS + 1):
        history.completed(number)
    replayer.execute(history.turn().raised("other").encode())
    assert kept(replayer) < little + 2_000
    assert replayer.replay_cache_counters["hits"] == 1


def test_the_bound_on_bytes_counts_them() -> None:
    replayer = Replayer([gather], replay_cache=ReplayCacheOptions(max_bytes=1_000_000))
    for number in range(20):
        replayer.execute(gathering(CALLS, instance_id=str(number)).encode())
    counters = replayer.replay_cache_counters
    assert counters["bytes"] <= 1_000_000
    assert 0 < counters["instances"] < 5
    assert counters["evictions"] == 20 - counters["instances"]


MEGABYTE = 1 << 20
RECORDS = [{"id": number, "name": f"record {number}", "rate": number / 7} for number in range(700)]
"""Some 40 kB of JSON, and several times as much in memory."""


def collect(ctx: Any, _: Any) -> Any:
    """Holds all that it has been told."""
    held: list[Any] = []
    while True:
        held.append((yield ctx.call_activity("a")))


def forget(ctx: Any, _: Any) -> Any:
    """Holds nothing for longer than it has to."""
    while True:
        yield ctx.call_activity("a")


async def deep(ctx: Any, _: Any) -> Any:
    """Holds it in an object, behind two coroutines and a composite."""

    class Holder:
        def __init__(self) -> None:
            self.held: dict[int, Any] = {}

        async def step(self, number: int) -> None:
            self.held[number] = (await when_all([ctx.call_activity("a")]))[0]

    holder = Holder()
    for number in range(1000):
        await holder.step(number)


def told(replayer: Replayer, program: str, results: list[Any], instance_id: str = "abc") -> None:
    """Has an orchestrator go through turns in each of which an activity completes."""
    history = History(program, instance_id=instance_id)
    replayer.execute(history.encode())
    for number, result in enumerate(results, 1):
        confirmed = History("x").scheduled(number, "a").request.newEvents[-1]
        history.turn().request.pastEvents.add().CopyFrom(confirmed)
        replayer.execute(history.completed(number, result).encode())


@pytest.mark.parametrize("program", [collect, deep])
def test_texts_that_are_held_count(program: Any) -> None:
    replayer = Replayer([program], replay_cache=ReplayCacheOptions())
    for instance in range(4):
        told(replayer, program.__name__, ["x" * MEGABYTE, "y" * MEGABYTE], str(instance))
    # Each keeps, beside its two results, what was new in its last turn, to recognize it in the next.
    assert 12 * MEGABYTE <= kept(replayer) < 12.5 * MEGABYTE


def test_what_is_let_go_of_does_not_count() -> None:
    replayer = Replayer([forget], replay_cache=ReplayCacheOptions())
    told(replayer, "forget", ["x" * 100_000] * 30)
    assert kept(replayer) < 300_000


def test_results_that_nobody_has_read_count() -> None:
    def race(ctx: Any, _: Any) -> Any:
        tasks = [ctx.call_activity("a") for _ in range(3)]
        yield when_all(tasks)

    replayer = Replayer([race], replay_cache=ReplayCacheOptions())
    history = History("race")
    replayer.execute(history.encode())
    history.turn()
    for number in (1, 2, 3):
        history.scheduled(number, "a")
    replayer.execute(history.completed(1, ["x" * MEGABYTE]).encode())
    # As the task has it, and as what was new in the last turn.
    assert 2 * MEGABYTE <= kept(replayer) < 2.1 * MEGABYTE


@pytest.fixture
def _traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("program", [collect, deep])
@pytest.mark.parametrize("turns", [1, 7])
def test_objects_count_as_what_they_take_in_memory(program: Any, turns: int) -> None:
    replayer = Replayer([program], replay_cache=ReplayCacheOptions())
    told(replayer, program.__name__, [RECORDS], "warm up")
    gc.collect()
    memory, counted = tracemalloc.get_traced_memory()[0], kept(replayer)
    for instance in range(4):
        told(replayer, program.__name__, [RECORDS] * turns, str(instance))
    gc.collect()
    memory, counted = tracemalloc.get_traced_memory()[0] - memory, kept(replayer) - counted
    assert memory / 2 < counted < memory * 2, f"{memory} bytes are held, {counted} count"


@pytest.mark.usefixtures("_traced")
def test_the_bound_on_bytes_bounds_memory() -> None:
    bound = 2 * MEGABYTE
    replayer = Replayer([collect], replay_cache=ReplayCacheOptions(max_bytes=bound))
    told(replayer, "collect", [RECORDS], "warm up")
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for instance in range(24):
        told(replayer, "collect", [RECORDS], str(instance))
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    assert bound / 2 < memory < 2 * bound, f"{memory} bytes are held, where {bound} are allowed"


def test_a_turn_during_which_the_cache_is_emptied_keeps_nothing() -> None:
    def empties(ctx: Any, _: Any) -> Any:
        replayer._executor.clear_replay_cache()
        yield ctx.call_activity("a")

    replayer = Replayer([empties], replay_cache=ReplayCacheOptions())
    replayer.execute(History("empties").encode())
    assert (replayer.replay_cache_counters["instances"], kept(replayer)) == (0, 0)
