"""What orchestrators and activities are written against."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from durabletask import task, worker

ONE_SECOND = timedelta(seconds=1)


def policy(**overrides: Any) -> task.RetryPolicy:
    return task.RetryPolicy(
        **{"first_retry_interval": ONE_SECOND, "max_number_of_attempts": 3, **overrides}
    )


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("first_retry_interval", timedelta(seconds=-1), "first_retry_interval must be >= 0"),
        ("max_number_of_attempts", 0, "max_number_of_attempts must be >= 1"),
        ("max_number_of_attempts", float("nan"), "max_number_of_attempts must be >= 1"),
        ("backoff_coefficient", float("nan"), "backoff_coefficient must be >= 1"),
        ("backoff_coefficient", 0.5, "backoff_coefficient must be >= 1"),
        ("max_retry_interval", timedelta(seconds=-1), "max_retry_interval must be >= 0"),
        ("retry_timeout", timedelta(seconds=-1), "retry_timeout must be >= 0"),
    ],
)
def test_retry_policy_refuses_values_out_of_range(argument: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        policy(**{argument: value})


def test_retry_policy_is_readable_under_public_and_private_names() -> None:
    arguments = {
        "first_retry_interval": ONE_SECOND,
        "max_number_of_attempts": 4,
        "backoff_coefficient": 2.0,
        "max_retry_interval": 2 * ONE_SECOND,
        "retry_timeout": 9 * ONE_SECOND,
    }
    made = task.RetryPolicy(**arguments)  # type: ignore[arg-type]
    for name, value in arguments.items():
        assert getattr(made, name) == value
        assert getattr(made, f"_{name}") == value
    assert made.non_retryable_error_types is None
    assert policy().backoff_coefficient == 1.0


def test_retry_policy_knows_non_retryable_errors_by_class_name() -> None:
    made = policy(non_retryable_error_types=["Fatal", KeyError, "", 3])
    assert made.non_retryable_error_types == {"Fatal", "KeyError"}
    assert task.is_error_non_retryable("KeyError", made)
    assert not task.is_error_non_retryable("LookupError", made)
    assert task.is_error_non_retryable("NonRetryableError", policy())
    assert policy(non_retryable_error_types=[]).non_retryable_error_types is None


def test_task_failed_error_takes_failure_details_as_they_are() -> None:
    details = task.FailureDetails("message", "Type", "trace")
    error = task.TaskFailedError("task #1 failed", details)
    assert error.details is details
    assert str(error) == "task #1 failed"


@pytest.mark.parametrize(
    "details",
    [
        SimpleNamespace(message="m", error_type="T", stack_trace="s"),
        SimpleNamespace(errorMessage="m", errorType="T", stackTrace="s"),
        SimpleNamespace(errorMessage="m", errorType="T", stackTrace=SimpleNamespace(value="s")),
    ],
    ids=["plain", "protocol", "protobuf"],
)
def test_task_failed_error_takes_what_looks_like_failure_details(details: Any) -> None:
    found = task.TaskFailedError("failed", details).details
    assert (found.message, found.error_type, found.stack_trace) == ("m", "T", "s")


def test_task_failed_error_survives_pickling() -> None:
    error = task.TaskFailedError("failed", task.FailureDetails("m", "T", None))
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "failed"
    assert copy.details.error_type == "T"


def test_names_are_those_of_functions_and_lambdas_have_none() -> None:
    assert task.get_name(policy) == "policy"
    with pytest.raises(ValueError, match="Cannot infer a name from a lambda function"):
        task.get_name(lambda: None)


def test_activity_context_tells_for_whom_it_runs() -> None:
    context = task.ActivityContext("instance", 7, "execution")
    assert (context.orchestration_id, context.task_id) == ("instance", 7)
    assert context.task_execution_id == "execution"
    assert task.ActivityContext("instance", 7).task_execution_id == ""


def test_an_incomplete_orchestration_context_cannot_be_made() -> None:
    class Incomplete(task.OrchestrationContext):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()  # type: ignore[abstract]


def test_the_clock_that_a_test_sets_is_told_in_the_zone_it_was_given_in() -> None:
    context = worker._RuntimeOrchestrationContext("id")
    tokyo = timezone(timedelta(hours=9))
    for given in (
        datetime(2026, 1, 1, 12, tzinfo=timezone.utc),
        datetime(2026, 1, 1, 12, 0, 1, tzinfo=tokyo),
        datetime(2026, 1, 1, 12),
    ):
        context.current_utc_datetime = given
        assert context.current_utc_datetime == given
        assert context.now().tzinfo is given.tzinfo
