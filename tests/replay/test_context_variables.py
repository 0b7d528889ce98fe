"""Every execution has context variables of its own, warm and cold, whichever threads its turns run on."""

from __future__ import annotations

import contextvars
import decimal
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from durabletask import _core
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages
from support.history import History
from support.replaying import output

INSTANCES = 15
STEPS = 6
THREADS = 4

MINE: contextvars.ContextVar[str] = contextvars.ContextVar("MINE", default="nobody's")


def generator(ctx: Any, mine: str) -> Any:
    MINE.set(mine)
    seen = []
    for _ in range(STEPS):
        yield ctx.call_activity("a")
        seen.append(MINE.get())
    return seen


async def coroutine(ctx: Any, mine: str) -> Any:
    MINE.set(mine)
    seen = []
    for _ in range(STEPS):
        await ctx.call_activity("a")
        seen.append(MINE.get())
    return seen


def precise(ctx: Any, digits: int) -> Any:
    seen = []
    with decimal.localcontext() as local:
        local.prec = digits
        for _ in range(STEPS):
            yield ctx.call_activity("a")
            seen.append(len(str(decimal.Decimal(1) / 3)) - 2)
    return seen


def precise_for_good(ctx: Any, digits: int) -> Any:
    decimal.getcontext().prec = digits
    seen = []
    for _ in range(STEPS):
        yield ctx.call_activity("a")
        seen.append(len(str(decimal.Decimal(1) / 3)) - 2)
    return seen


def untouched(ctx: Any, _: Any) -> Any:
    seen = []
    for _ in range(STEPS):
        yield ctx.call_activity("a")
        seen.append(len(str(decimal.Decimal(1) / 3)) - 2)
    return seen


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a test sets on the main thread is not there for the next."""
    token, before = MINE.set("nobody's"), decimal.getcontext().copy()
    yield
    MINE.reset(token)
    decimal.setcontext(before)


ORCHESTRATORS: list[Callable[..., Any]] = [
    generator,
    coroutine,
    precise,
    precise_for_good,
    untouched,
]


def replayer(*, warm: bool) -> Replayer:
    return Replayer(ORCHESTRATORS, replay_cache=ReplayCacheOptions() if warm else None)


def past_steps(history: History, steps: int) -> History:
    """The history at the beginning of the turn in which call number `steps` has completed."""
    for number in range(1, steps + 1):
        history.turn().request.pastEvents.add().CopyFrom(
            History("x").scheduled(number, "a").request.newEvents[-1]
        )
        history.completed(number)
    return history


def execute(executor: Any, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(executor.execute(history.encode()))


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_fifteen_instances_of_each_kind_see_their_own_on_any_thread(warm: bool) -> None:
    executor = replayer(warm=warm)
    inputs: dict[str, tuple[Callable[..., Any], Any]] = {}
    for number in range(INSTANCES):
        inputs[f"generator-{number}"] = generator, f"generator-{number}"
        inputs[f"coroutine-{number}"] = coroutine, f"coroutine-{number}"
        inputs[f"precise-{number}"] = precise, number + 3
        inputs[f"for-good-{number}"] = precise_for_good, number + 3
        inputs[f"untouched-{number}"] = untouched, None
    results: dict[str, Any] = {}
    together = threading.Barrier(THREADS)
    leaked: list[Any] = []

    def turns(ids: list[str], step: int) -> None:
        for instance_id in ids:
            orchestrator, value = inputs[instance_id]
            history = History(orchestrator.__name__, value, instance_id=instance_id)
            response = execute(executor, past_steps(history, step))
            if step == STEPS:
                results[instance_id] = json.loads(output(response))
        leaked.append(MINE.get())
        leaked.append(decimal.getcontext().prec)

    ids = list(inputs)
    with ThreadPoolExecutor(THREADS, initializer=together.wait) as pool:
        for step in range(STEPS + 1):
            # The instances change threads at every step.
            parts = [ids[(start + step) % THREADS :: THREADS] for start in range(THREADS)]
            list(pool.map(turns, parts, [step] * THREADS))
    expected = {
        instance_id: [28 if orchestrator is untouched else value] * STEPS
        for instance_id, (orchestrator, value) in inputs.items()
    }
    assert results == expected
    assert set(leaked) == {"nobody's", 28}, "the threads of the pool have what orchestrators set"
    if warm:
        assert executor.replay_cache_counters["hits"] == len(ids) * STEPS


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_executions_begin_with_the_variables_of_whoever_made_the_executor(warm: bool) -> None:
    registry = _Registry()
    registry.add_orchestrator(generator_of_what_it_finds)
    cache = ReplayCacheOptions().limits if warm else None

    def make() -> _core.Executor:
        MINE.set("the maker's")
        return _core.Executor(registry, replay_cache=cache)

    made = contextvars.copy_context().run(make)
    given = contextvars.copy_context()
    given.run(MINE.set, "the given one's")
    executor = _core.Executor(registry, replay_cache=cache, context=given)
    given.run(MINE.set, "changed afterwards")
    for each, expected in ((made, "the maker's"), (executor, "the given one's")):
        for instance_id in ("first", "second"):
            history = History("generator_of_what_it_finds", instance_id=instance_id)
            execute(each, history)
            assert json.loads(output(execute(each, past_steps(history, 1)))) == [expected, "mine"]
    assert MINE.get() == "nobody's"


def generator_of_what_it_finds(ctx: Any, _: Any) -> Any:
    found = MINE.get()
    MINE.set("mine")
    yield ctx.call_activity("a")
    return [found, MINE.get()]


def test_a_decimal_context_of_whoever_made_the_executor_is_not_shared() -> None:
    def make() -> Replayer:
        decimal.getcontext().prec = 9
        return replayer(warm=True)

    own = contextvars.copy_context()
    executor = own.run(make)
    execute(executor, History("precise_for_good", 4, instance_id="changes it"))
    history = History("untouched", instance_id="does not")
    execute(executor, history)
    end = execute(executor, past_steps(history, STEPS))
    assert json.loads(output(end)) == [9] * STEPS
    assert own.run(decimal.getcontext).prec == 9


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_turn_that_raises_leaves_the_context_too(warm: bool) -> None:
    def raising(ctx: Any, _: Any) -> Any:
        MINE.set("mine")
        yield ctx.call_activity("a")
        raise ValueError("out")

    def exiting(ctx: Any, _: Any) -> Any:
        MINE.set("mine")
        yield ctx.call_activity("a")
        raise SystemExit(3)

    cache = ReplayCacheOptions() if warm else None
    executor = Replayer([raising, exiting], replay_cache=cache)
    for _ in range(3):
        history = History("raising")
        execute(executor, history)
        execute(executor, past_steps(history, 1))
        assert MINE.get() == "nobody's"
        history = History("exiting")
        execute(executor, history)
        with pytest.raises(SystemExit):
            execute(executor, past_steps(history, 1))
        assert MINE.get() == "nobody's"


def test_an_orchestrator_that_is_let_go_ends_with_its_own_variables() -> None:
    at_the_end: list[str] = []

    def orchestrator(ctx: Any, mine: str) -> Any:
        MINE.set(mine)
        try:
            yield ctx.call_activity("a")
        finally:
            at_the_end.append(MINE.get())

    async def awaiting(ctx: Any, mine: str) -> Any:
        MINE.set(mine)
        try:
            await ctx.call_activity("a")
        finally:
            at_the_end.append(MINE.get())

    executor = Replayer([orchestrator, awaiting], replay_cache=ReplayCacheOptions(max_instances=1))
    execute(executor, History("orchestrator", "first", instance_id="1"))
    execute(executor, History("awaiting", "second", instance_id="2"))
    assert at_the_end == ["first"], "evicted in the turn of another"
    MINE.set("the main thread's")
    del executor
    assert at_the_end == ["first", "second"]
    terminated = History("orchestrator", "third").turn().scheduled(1, "a").turn().terminated()
    execute(Replayer([orchestrator]), terminated)
    execute(Replayer([orchestrator]), History("orchestrator", "fourth"))
    assert at_the_end == ["first", "second", "third", "fourth"]
    assert MINE.get() == "the main thread's"


def test_two_threads_may_have_turns_of_one_instance_at_once() -> None:
    both = threading.Barrier(2)

    def orchestrator(ctx: Any, _: Any) -> Any:
        before = MINE.get()
        MINE.set("mine")
        if not ctx.is_replaying:
            both.wait(30)
        yield ctx.call_activity("a")
        return [before, MINE.get()]

    executor = Replayer([orchestrator], replay_cache=ReplayCacheOptions())
    with ThreadPoolExecutor(2) as pool:
        turns = [pool.submit(execute, executor, History("orchestrator")) for _ in range(2)]
        for turn in turns:
            assert len(turn.result(30).actions) == 1
    end = execute(executor, past_steps(History("orchestrator"), 1))
    assert json.loads(output(end)) == ["nobody's", "mine"]


def test_an_orchestrator_that_replays_another_has_its_variables_afterwards() -> None:
    inner = Replayer([generator])

    def outer(ctx: Any, _: Any) -> Any:
        MINE.set("outer")
        execute(inner, History("generator", "inner"))
        yield ctx.call_activity("a")
        return MINE.get()

    history = past_steps(History("outer"), 1)
    assert output(execute(Replayer([outer]), history)) == '"outer"'


def test_checks_leave_the_thread_s_variables_alone() -> None:
    assert Replayer([generator]).check(past_steps(History("generator", "x"), 1).encode()).ok
    assert MINE.get() == "nobody's"


def test_only_contexts_are_taken_for_contexts() -> None:
    with pytest.raises(TypeError, match=r"contextvars\.Context, found dict"):
        _core.Executor(_Registry(), context={})  # type: ignore[arg-type]
