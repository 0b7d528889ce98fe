"""What live orchestrators are taken to cost, which bounds them: what they wait for, not what they went through."""

from __future__ import annotations

from typing import Any

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
