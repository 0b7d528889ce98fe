"""When failed calls are tried again; public through `durabletask.task`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from durabletask._failures import NonRetryableError


class RetryPolicy:
    """When, and how often, a failed activity or sub-orchestration is tried again."""

    def __init__(
        self,
        *,
        first_retry_interval: timedelta,
        max_number_of_attempts: int,
        backoff_coefficient: float | None = 1.0,
        max_retry_interval: timedelta | None = None,
        retry_timeout: timedelta | None = None,
        non_retryable_error_types: Sequence[str | type] | None = None,
    ):
        """Describe a policy.

        Args:
            first_retry_interval: The pause before the second attempt.
            max_number_of_attempts: The first attempt counts as one.
            backoff_coefficient: Each pause is this many times as long as the one before; None: 1.0.
            max_retry_interval: No pause is longer.
            retry_timeout: No attempt begins later than this after the first was scheduled.
            non_retryable_error_types: Exception classes, or their names, that end the attempts at
                once. `NonRetryableError` always does. The names are compared with the failure's
                `error_type`; subclasses do not match.

        Raises:
            ValueError: A number or an interval is out of range.
            TypeError: An interval is no timedelta.

        """
        zero = timedelta(0)
        for name, interval in (
            ("first_retry_interval", first_retry_interval),
            ("max_retry_interval", max_retry_interval),
            ("retry_timeout", retry_timeout),
        ):
            absent = interval is None and name != "first_retry_interval"
            if not absent and not isinstance(interval, timedelta):
                raise TypeError(
                    f"{name} must be a datetime.timedelta, found {interval!r}: write timedelta(seconds=…)"
                )
        if first_retry_interval < zero:
            raise ValueError("first_retry_interval must be >= 0")
        if not max_number_of_attempts >= 1:  # NaN is not
            raise ValueError("max_number_of_attempts must be >= 1")
        if backoff_coefficient is not None and not backoff_coefficient >= 1:  # NaN is not
            raise ValueError("backoff_coefficient must be >= 1")
        if max_retry_interval is not None and max_retry_interval < zero:
            raise ValueError("max_retry_interval must be >= 0")
        if retry_timeout is not None and retry_timeout < zero:
            raise ValueError("retry_timeout must be >= 0")

        self._first_retry_interval = first_retry_interval
        self._max_number_of_attempts = max_number_of_attempts
        self._backoff_coefficient = backoff_coefficient
        self._max_retry_interval = max_retry_interval
        self._retry_timeout = retry_timeout
        self._non_retryable_error_types: set[str] | None = None
        if non_retryable_error_types:
            self._non_retryable_error_types = {
                error_type if isinstance(error_type, str) else error_type.__name__
                for error_type in non_retryable_error_types
                if error_type and isinstance(error_type, (str, type))
            }

    @property
    def first_retry_interval(self) -> timedelta:
        """The pause before the second attempt."""
        return self._first_retry_interval

    @property
    def max_number_of_attempts(self) -> int:
        """How many attempts there are at most, the first included."""
        return self._max_number_of_attempts

    @property
    def backoff_coefficient(self) -> float | None:
        """By how much each pause is longer than the one before; None: all are equal."""
        return self._backoff_coefficient

    @property
    def max_retry_interval(self) -> timedelta | None:
        """The longest pause; None: no bound."""
        return self._max_retry_interval

    @property
    def retry_timeout(self) -> timedelta | None:
        """How long after the first attempt was scheduled another may begin; None: no bound."""
        return self._retry_timeout

    @property
    def non_retryable_error_types(self) -> set[str] | None:
        """Names of exception classes that end the attempts; None: only `NonRetryableError`."""
        return self._non_retryable_error_types


def is_error_non_retryable(error_type: str, policy: RetryPolicy) -> bool:
    """Whether a failure with this `error_type` ends the attempts under `policy`."""
    if error_type == NonRetryableError.__name__:
        return True
    return (
        policy.non_retryable_error_types is not None
        and error_type in policy.non_retryable_error_types
    )


def next_delay(policy: RetryPolicy, attempt: int, start_time: datetime) -> timedelta | None:
    """The pause after an attempt, counted from 1, that failed; None: there is no other.

    Whether the policy's time is over is told by the clock: `start_time` is UTC, without tzinfo.
    """
    if attempt >= policy.max_number_of_attempts:
        return None
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    if policy.retry_timeout is not None and now >= start_time + policy.retry_timeout:
        return None
    coefficient = 1.0 if policy.backoff_coefficient is None else policy.backoff_coefficient
    seconds = math.pow(coefficient, attempt - 1) * policy.first_retry_interval.total_seconds()
    if policy.max_retry_interval is not None:
        seconds = min(seconds, policy.max_retry_interval.total_seconds())
    return timedelta(seconds=seconds)
