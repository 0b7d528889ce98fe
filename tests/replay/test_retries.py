"""How often something is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durabletask.task import RetryPolicy

from support.history import History
from support.replaying import calls, failure, play


@pytest.mark.parametrize(("attempts", "made"), [(1, 1), (3, 3), (3.0, 3), (1.5, 2)])
def test_attempts_end_with_the_one_that_reaches_their_number(attempts: Any, made: int) -> None:
    policy = RetryPolicy(first_retry_interval=timedelta(0), max_number_of_attempts=attempts)

    def orchestrate(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a", retry_policy=policy)

    history = History("orchestrate").turn()
    for number in range(1, 2 * made, 2):
        assert calls(play(history, orchestrate)) == [(number, "scheduleTask", "a")]
        history.scheduled(number, "a").turn().failed(number, "ValueError", "again")
        if number < 2 * made - 1:
            assert calls(play(history, orchestrate)) == [(number + 1, "createTimer", "")]
            history.timer_created(number + 1).turn().timer_fired(number + 1)
    assert failure(play(history, orchestrate)).innerFailure.errorMessage == "again"
