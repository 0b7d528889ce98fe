"""Retries: a policy per call, kept across restarts since every wait is a durable timer.

Usage: python examples/retries.py [ADDRESS]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import (
    ActivityContext,
    NonRetryableError,
    OrchestrationContext,
    RetryPolicy,
    Task,
    TaskFailedError,
)
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address

POLICY = RetryPolicy(
    first_retry_interval=timedelta(milliseconds=100),  # wait before the second attempt
    max_number_of_attempts=4,  # the first one included
    backoff_coefficient=2.0,  # every wait is twice the last: 100, 200, ...
    max_retry_interval=timedelta(milliseconds=250),  # ... but 250 ms at most
    retry_timeout=timedelta(minutes=1),  # and no new attempt a minute after the call
    non_retryable_error_types=["PermissionError"],  # more of the same will not help
)

# Attempts per call: all attempts of one call have the same execution id.
attempts: Counter[str] = Counter()


def charge_card(ctx: ActivityContext, outcome: str) -> str:
    """Stand for a payment service that has its bad days."""
    attempts[ctx.task_execution_id] += 1
    attempt = attempts[ctx.task_execution_id]
    if outcome == "busy at first" and attempt >= 3:
        return f"charged on attempt {attempt}"
    if outcome == "declined":
        # Raised like this an error is final, whatever the policy of the caller.
        raise NonRetryableError(f"card declined on attempt {attempt}")
    if outcome == "locked out":
        raise PermissionError(f"wrong key on attempt {attempt}")
    raise ConnectionError(f"service is busy, attempt {attempt}")


def pay(ctx: OrchestrationContext, outcomes: list[str]) -> Generator[Task[Any], Any, Any]:
    results = {}
    for outcome in outcomes:
        try:
            results[outcome] = yield ctx.call_activity(
                charge_card, input=outcome, retry_policy=POLICY
            )
        except TaskFailedError as error:
            results[outcome] = f"{error.details.error_type}: {error.details.message}"
    return results


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(pay)
        worker.add_activity(charge_card)
        worker.start()

        instance_id = client.schedule_new_orchestration(
            pay, input=["busy at first", "busy all day", "declined", "locked out"]
        )
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        for outcome, result in json.loads(state.serialized_output or "{}").items():
            print(f"{outcome}: {result}")


if __name__ == "__main__":
    main()
