"""What a failure leaves in the log: who failed, with what, and whether it is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, RetryPolicy
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support.sidecar import sidecar_address

SOON = 60
SECRET = "4556-7375-8689-9855"


@pytest.fixture
def address() -> Iterator[str]:
    with sidecar_address() as address:
        yield address


def charge(ctx: ActivityContext, card: str) -> str:
    raise ValueError("no money")


async def charge_later(ctx: ActivityContext, card: str) -> str:
    await asyncio.sleep(0)
    raise ValueError("no money")


def unwritable(ctx: ActivityContext, card: str) -> Any:
    return object()


def run(
    address: str,
    activity: Any,
    attempts: int | None = None,
    cache: ReplayCacheOptions | None = None,
    worker_options: dict[str, Any] | None = None,
) -> OrchestrationState:
    policy = None
    if attempts is not None:
        pause = timedelta(milliseconds=10)
        policy = RetryPolicy(first_retry_interval=pause, max_number_of_attempts=attempts)

    def order(ctx: OrchestrationContext, card: str) -> Any:
        return (yield ctx.call_activity(activity, input=card, retry_policy=policy))

    with (
        TaskHubGrpcWorker(
            host_address=address, replay_cache=cache, **(worker_options or {})
        ) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(order)
        worker.add_activity(activity)
        worker.start()
        instance_id = client.schedule_new_orchestration(order, input=SECRET)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    return state


def of(caplog: pytest.LogCaptureFixture, state: OrchestrationState) -> list[Any]:
    """The worker's records about an instance."""
    return [
        record
        for record in caplog.records
        if record.name == "durabletask.worker"
        and getattr(record, "instance_id", None) == state.instance_id
    ]


@pytest.mark.parametrize("activity", [charge, charge_later])
def test_an_activity_that_fails_is_seen_where_it_ran(
    address: str, caplog: pytest.LogCaptureFixture, activity: Any
) -> None:
    state = run(address, activity)
    warning, error = of(caplog, state)
    assert (warning.levelname, error.levelname) == ("WARNING", "ERROR")
    assert (warning.activity, warning.task_id) == (activity.__name__, 1)
    assert "has failed with ValueError: no money" in warning.message
    assert 'raise ValueError("no money")' in caplog.text, "the traceback, with the line"
    assert warning.exc_info[0] is ValueError
    assert error.orchestration == "order"
    assert "return (yield ctx.call_activity(" in error.message, "where the orchestrator stood"


def test_a_result_that_can_not_be_written_is_seen_too(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    warning, _ = of(caplog, run(address, unwritable))
    assert "The result of activity 'unwritable' cannot be written as JSON" in warning.message


@pytest.mark.parametrize("activity", [charge, charge_later])
def test_one_warning_says_all_of_an_attempt_where_the_orchestrator_is_alive(
    address: str, caplog: pytest.LogCaptureFixture, activity: Any
) -> None:
    caplog.set_level(logging.INFO, logger="durabletask.worker")
    state = run(address, activity, attempts=3, cache=ReplayCacheOptions())
    warnings = [each for each in of(caplog, state) if each.levelname == "WARNING"]
    name = activity.__name__
    assert [
        (each.activity, each.attempt, each.max_attempts, each.task_id) for each in warnings
    ] == [
        (name, 1, 3, 1),
        (name, 2, 3, 3),
        (name, 3, 3, 5),
    ]
    assert all(each.exc_info[0] is ValueError for each in warnings)
    first, _, last = warnings
    assert f"attempt 1 of 3 at the activity '{name}' (task #1) has failed with Val" in first.message
    assert f"ValueError: no money; the next one is at {first.next_attempt_at}" in first.message
    assert last.next_attempt_at is None
    assert last.message.endswith("no money; there is no next one")
    # When the next one really begins is known when the orchestration has heard of it.
    heard = [each for each in of(caplog, state) if "the next one is" in each.message]
    assert [each.levelname for each in heard] == 2 * ["WARNING", "INFO"]
    estimate, exact = (
        datetime.fromisoformat(each.next_attempt_at.removesuffix("Z")) for each in heard[:2]
    )
    assert abs(exact - estimate) < timedelta(seconds=10)


def test_attempts_are_counted_where_the_orchestrator_is_replayed_each_time(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(address, charge, attempts=3, cache=None)
    attempts = [record for record in of(caplog, state) if hasattr(record, "attempt")]
    assert [(each.attempt, each.max_attempts) for each in attempts] == [(1, 3), (2, 3), (3, 3)]
    assert {(each.levelname, each.activity, each.orchestration) for each in attempts} == {
        ("WARNING", "charge", "order")
    }
    # Its pauses have ids, too.
    assert [each.task_id for each in attempts] == [1, 3, 5]
    assert "attempt 1 of 3 at the activity 'charge' (task #1)" in attempts[0].message
    assert "ValueError: no money; the next one is at 20" in attempts[0].message
    assert datetime.fromisoformat(attempts[0].next_attempt_at.removesuffix("Z"))
    assert attempts[2].next_attempt_at is None
    assert "there is no next one" in attempts[2].message
    runs = [record for record in of(caplog, state) if record.exc_info]
    assert [each.task_id for each in runs] == [1, 3, 5]


def test_starts_and_ends_are_told_at_level_info(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    def count(ctx: ActivityContext, card: str) -> int:
        return len(card)

    caplog.set_level(logging.INFO)
    state = run(address, count)
    state.raise_if_failed()
    started, ended = of(caplog, state)
    assert started.message.endswith("the orchestration 'order' has started")
    assert ended.message.endswith("the orchestration 'order' has ended with status COMPLETED")
    assert {started.levelname, ended.levelname} == {"INFO"}


@pytest.mark.parametrize("activity", [charge, charge_later])
def test_no_payload_is_in_any_line_above_debug(
    address: str, caplog: pytest.LogCaptureFixture, activity: Any
) -> None:
    caplog.set_level(logging.INFO)
    run(address, activity, attempts=2)
    assert len(caplog.records) > 10
    assert SECRET not in caplog.text


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_an_input_that_does_not_fit_is_in_lines_of_debug_alone(
    address: str, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    def pay(ctx: ActivityContext, amount: Decimal) -> None: ...

    caplog.set_level(level, logger="durabletask.worker")
    state = run(address, pay, worker_options={"typed_payloads": True})
    assert "expected a decimal number, found str" in caplog.text
    assert state.failure_details is not None
    assert SECRET not in state.failure_details.message
    assert (SECRET in caplog.text) == (level == logging.DEBUG)


def test_handlers_that_raise_cost_no_work(
    address: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("the disk is full")

    def fine(ctx: ActivityContext, card: str) -> int:
        return len(card)

    logger = logging.getLogger("durabletask.worker")
    handler = Broken()
    caplog.set_level(logging.DEBUG, logger="durabletask.worker")
    logger.addHandler(handler)
    try:
        failed, well = run(address, charge, attempts=2), run(address, fine)
    finally:
        logger.removeHandler(handler)
    assert well.serialized_output == str(len(SECRET))
    assert failed.failure_details is not None
    assert failed.failure_details.message.endswith("Activity task #3 failed: no money")
    assert "the disk is full" in capsys.readouterr().err
