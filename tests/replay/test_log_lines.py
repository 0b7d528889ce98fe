"""What the engine logs, and that no logging costs a turn."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask import _core, task
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages
from support.history import History
from support.replaying import calls, output

LOGGER = logging.getLogger("durabletask-test-log-lines")


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        yield


def executor_of(*orchestrators: Any, **options: Any) -> _core.Executor:
    registry = _Registry()
    for orchestrator in orchestrators:
        registry.add_orchestrator(orchestrator)
    return _core.Executor(registry, LOGGER, **options)


def execute(executor: _core.Executor, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(executor.execute(history.encode()))


def order(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    return "done"


def finished() -> History:
    return History("order").turn().scheduled(1, "a").turn().completed(1)


def broken(record: logging.LogRecord) -> bool:
    raise RuntimeError("no disk")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_filter_or_a_handler_that_raises_fails_no_turn(warm: bool) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            broken(record)

    handler = Broken()
    executor = executor_of(order, replay_cache=ReplayCacheOptions().limits if warm else None)
    LOGGER.addFilter(broken)
    try:
        assert calls(execute(executor, History("order"))) == [(1, "scheduleTask", "a")]
        assert output(execute(executor, finished())) == '"done"'
    finally:
        LOGGER.removeFilter(broken)
    LOGGER.addHandler(handler)
    try:
        assert calls(execute(executor, History("order"))) == [(1, "scheduleTask", "a")]
        assert output(execute(executor, finished())) == '"done"'
    finally:
        LOGGER.removeHandler(handler)


def test_a_handler_that_ends_the_process_is_not_held_up() -> None:
    def exits(record: logging.LogRecord) -> bool:
        raise SystemExit(3)

    LOGGER.addFilter(exits)
    try:
        with pytest.raises(SystemExit):
            executor_of(order).execute(History("order").encode())
    finally:
        LOGGER.removeFilter(exits)


def test_an_orchestration_s_start_and_end_are_told_once_with_its_name_and_id_as_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = executor_of(order)
    execute(executor, History("order"))
    execute(executor, finished())
    told = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert [record.getMessage() for record in told] == [
        "abc: the orchestration 'order' has started",
        "abc: the orchestration 'order' has ended with status COMPLETED",
    ]
    assert {(vars(it)["instance_id"], vars(it)["orchestration"]) for it in told} == {
        ("abc", "order")
    }


def test_a_failure_is_an_error_that_says_why_and_where(caplog: pytest.LogCaptureFixture) -> None:
    def order(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        raise KeyError("lost")

    execute(executor_of(order), finished())
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelname == "ERROR"
    assert "abc: the orchestration 'order' has failed with KeyError: 'lost'" in record.getMessage()
    assert 'raise KeyError("lost")' in record.getMessage()


def test_a_turn_that_takes_long_is_told_with_the_line(caplog: pytest.LogCaptureFixture) -> None:
    def order(ctx: Any, _: Any) -> Any:
        time.sleep(0.02)
        yield ctx.call_activity("slow before this")

    execute(executor_of(order, long_turn=0.01), History("order"))
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "a turn of 'order' took 0.0 s" in record.getMessage()
    assert f"{__file__}:" in record.getMessage()
    assert 'yield ctx.call_activity("slow before this")' in record.getMessage()
    caplog.clear()
    execute(executor_of(order), History("order"))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_call_that_was_never_waited_for_is_told_with_the_line_at_which_it_was_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def order(ctx: Any, _: Any) -> Any:
        if (yield ctx.call_activity("a")) is None:
            ctx.call_activity("audit")
            return "lost"
        return "never"

    assert output(execute(executor_of(order), finished())) == '"lost"'
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "call_activity('audit') with ID=2" in record.getMessage()
    assert 'return "lost"' in record.getMessage()
    assert "yield" in record.getMessage()


def test_tasks_that_lost_against_another_are_not_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def order(ctx: Any, _: Any) -> Any:
        yield task.when_any([ctx.call_activity("a"), ctx.wait_for_external_event("stop")])
        ctx.send_event("other", "done")
        return "done"

    response = execute(executor_of(order), finished())
    assert [call[1] for call in calls(response)] == ["sendEvent", "completeOrchestration"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
