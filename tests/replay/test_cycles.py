"""Python's collector of cycles finds what orchestrators leave behind, and nothing that is still in use."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from durabletask import _core
from durabletask.replay import Replayer
from durabletask.task import (
    CompletableTask,
    CompositeTask,
    RetryableTask,
    RetryPolicy,
    TaskFailedError,
    TimerTask,
    when_all,
    when_any,
)
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages
from support.history import History
from support.replaying import output

INSTANCES = 50
STEPS = 4
_flows: list[weakref.ref[Flow]] = []


class Flow:
    """An orchestrator's own object, which keeps its context."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        self.kept: list[Any] = []
        _flows.append(weakref.ref(self))

    def step(self, _: Any, __: Any) -> None:
        """Called by its name only."""

    def run(self) -> Any:
        results: list[Any] = []
        for _ in range(STEPS):
            results.append((yield self.ctx.call_activity(self.step)))
        return results

    async def run_async(self) -> Any:
        return [await self.ctx.call_activity(self.step) for _ in range(STEPS)]


def generator(ctx: Any, _: Any) -> Any:
    return (yield from Flow(ctx).run())


async def coroutine(ctx: Any, _: Any) -> Any:
    return await Flow(ctx).run_async()


def plain_function(ctx: Any, _: Any) -> Any:
    return Flow(ctx).run()


def closure(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)

    def step(*_: Any) -> Any:
        return flow.ctx

    results: list[Any] = []
    for _number in range(STEPS):
        results.append((yield ctx.call_activity(step)))
    return results


def results_that_hold_their_tasks(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for _number in range(STEPS):
        task = ctx.call_activity("step")
        result = yield task
        results.append(dict(result))
        result["task"], result["flow"] = task, flow
    return results


def tasks_in_a_list(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for _number in range(STEPS):
        flow.kept.append(ctx.call_activity(flow.step))
        results.append((yield flow.kept[-1]))
    return results


def policies(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    policy: Any = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=3)
    policy.flow = flow
    results: list[Any] = []
    for _number in range(STEPS):
        results.append((yield ctx.call_activity("step", retry_policy=policy)))
    return results


def completed_with_itself(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    own: Any = CompletableTask()
    both = when_all([own, when_any([own])])
    # A tuple can not let go of what it holds.
    own.complete((own, both, flow))
    yield both
    flow.kept.append(own)
    results: list[Any] = []
    for _number in range(STEPS):
        results.append((yield ctx.call_activity("step")))
    return results


def composites(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for _number in range(STEPS):
        every = when_all([ctx.call_activity(flow.step)])
        first = when_any([every])
        assert (yield first) is every
        results.append(every.get_result()[0])
        every.get_result().extend([first, flow])
        flow.kept.append(first)
    return results


def failed_with_itself(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    own: Any = CompletableTask()
    own.fail("no", Details(flow, own))
    try:
        yield own
    except TaskFailedError as error:
        flow.kept.append(error)
        flow.kept.append(own)
    return (yield from flow.run())


class Details:
    def __init__(self, *held: Any) -> None:
        self.held = held
        self.message, self.error_type, self.stack_trace, self.inner_failure = (
            "no",
            "Own",
            None,
            None,
        )


def awaiters(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for _number in range(STEPS):
        task = ctx.call_activity("step")
        awaiter = task.__await__()
        result = yield next(awaiter)
        results.append(dict(result))
        result["awaiter"], result["flow"] = awaiter, flow
    return results


class OwnTask(CompletableTask[Any]):
    """Keeps how it ends in the attributes that Task has for that."""


class OwnComposite(CompositeTask[Any]):
    """Is told of its children."""

    def on_child_completed(self, task: Any) -> None:
        self._result, self._is_complete = task, True


def tasks_of_its_own(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for _number in range(STEPS):
        own: Any = OwnTask()
        own._result = (own, flow)
        failing: Any = OwnTask()
        # An exception lets go of its attributes, but not of its arguments.
        failing._exception = ValueError(failing, flow)
        failing._is_complete = True
        timer: Any = TimerTask()
        timer.set_retryable_parent((timer, flow))
        policy: Any = ([flow],)
        policy[0].append(RetryableTask(policy, policy))
        task = ctx.call_activity("step")
        parent: Any = OwnComposite([task])
        assert (yield parent) is task
        task.get_result()["parent"] = (parent, flow)
        results.append({"number": task.get_result()["number"]})
    return results


def arguments(ctx: Any, _: Any) -> Any:
    flow = Flow(ctx)
    results: list[Any] = []
    for number in range(STEPS):
        argument = SimpleNamespace(number=number)
        task = ctx.call_activity("step", input=argument)
        # It was written by now, unless the history confirms the call.
        argument.flow, argument.task = flow, task
        results.append((yield task))
    return results


PROGRAMS = [
    tasks_of_its_own,
    arguments,
    generator,
    coroutine,
    plain_function,
    closure,
    results_that_hold_their_tasks,
    tasks_in_a_list,
    policies,
    completed_with_itself,
    composites,
    failed_with_itself,
    awaiters,
]


def story(program: Callable[..., Any], turns: int, instance_id: str) -> History:
    """The history at the beginning of a turn, counted from 0."""
    history = History(program.__name__, instance_id=instance_id)
    for number in range(1, turns + 1):
        history.turn().request.pastEvents.add().CopyFrom(
            History("x").scheduled(number, "step").request.newEvents[-1]
        )
        history.completed(number, {"number": number})
    return history


def result() -> list[Any]:
    return [{"number": number} for number in range(1, STEPS + 1)]


def execute(replayer: Replayer, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))


def survivors() -> int:
    gc.collect()
    return sum(flow() is not None for flow in _flows)


@pytest.fixture(autouse=True)
def _forget_flows() -> None:
    _flows.clear()


@pytest.mark.parametrize("turns", [0, 2, STEPS])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_survives_a_cold_turn(program: Callable[..., Any], turns: int) -> None:
    replayer = Replayer([program])
    for number in range(INSTANCES):
        response = execute(replayer, story(program, turns, str(number)))
        if turns == STEPS:
            assert json.loads(output(response)) == result()
    del response
    assert len(_flows) == INSTANCES
    assert survivors() == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_survives_an_execution_that_has_ended(program: Callable[..., Any]) -> None:
    replayer = Replayer([program], replay_cache=ReplayCacheOptions())
    for turns in range(STEPS + 1):
        for number in range(INSTANCES):
            response = execute(replayer, story(program, turns, str(number)))
            if turns == STEPS:
                assert json.loads(output(response)) == result()
        alive = survivors()
        assert alive == (INSTANCES if turns < STEPS else 0), f"{alive} are there after turn {turns}"
    assert replayer.replay_cache_counters["hits"] == STEPS * INSTANCES
    assert len(_flows) == INSTANCES, "each has started once"


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_survives_when_executions_are_put_out(program: Callable[..., Any]) -> None:
    replayer = Replayer([program], replay_cache=ReplayCacheOptions(max_instances=3))
    for turns in range(3):
        for number in range(INSTANCES):
            execute(replayer, story(program, turns, str(number)))
    assert survivors() == 3
    del replayer
    assert survivors() == 0


def test_an_executor_goes_with_the_worker_that_it_is_part_of() -> None:
    class Owner:
        def __init__(self) -> None:
            registry = _Registry()
            registry.add_named_orchestrator("generator", self.orchestrator)
            self.executor = _core.Executor(registry, replay_cache=(10, 1 << 20, 60.0))

        def orchestrator(self, ctx: Any, _: Any) -> Any:
            flow = Flow(ctx)
            flow.kept.append(self)
            return (yield from flow.run())

    owner = Owner()
    for number in range(10):
        owner.executor.execute(story(generator, 0, str(number)).encode())
    assert survivors() == 10
    of_owner = weakref.ref(owner)
    del owner
    assert survivors() == 0
    assert of_owner() is None


def test_a_context_may_be_read_through_a_closure_that_holds_it() -> None:
    def reads(ctx: Any, _: Any) -> Any:
        flow = Flow(ctx)
        ctx._read_payloads_with(lambda text: (flow, json.loads(text))[1])
        return (yield from flow.run())

    history = story(reads, STEPS, "abc")
    assert json.loads(output(execute(Replayer([reads]), history))) == result()
    assert survivors() == 0


@pytest.fixture
def _collect_all_the_time() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1, 2, 2)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_collect_all_the_time")
@pytest.mark.parametrize("cache", [None, ReplayCacheOptions(), ReplayCacheOptions(max_instances=5)])
def test_collecting_in_the_middle_of_turns_breaks_nothing(
    cache: ReplayCacheOptions | None,
) -> None:
    replayer = Replayer(PROGRAMS, replay_cache=cache)

    def live(number: int) -> None:
        program = PROGRAMS[number % len(PROGRAMS)]
        for turns in range(STEPS + 1):
            response = execute(replayer, story(program, turns, str(number)))
            if number % 5 == 0:
                gc.collect()
        assert json.loads(output(response)) == result(), program

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(live, number) for number in range(INSTANCES)]:
            done.result()
    assert survivors() == 0


def test_orchestrators_may_collect() -> None:
    def collects(ctx: Any, _: Any) -> Any:
        flow = Flow(ctx)
        steps = flow.run()
        task = next(steps)
        while True:
            gc.collect()
            value = yield when_any([task])
            assert value is task
            gc.collect()
            try:
                task = steps.send(task.get_result())
            except StopIteration as end:
                return end.value

    replayer = Replayer([collects], replay_cache=ReplayCacheOptions())
    for turns in range(STEPS + 1):
        response = execute(replayer, story(collects, turns, "abc"))
    assert json.loads(output(response)) == result()
    assert (
        json.loads(output(execute(Replayer([collects]), story(collects, STEPS, "abc")))) == result()
    )
    assert survivors() == 0
