"""What the synchronous and the asyncio client have in common: all but the calling.

Each function makes the request of one call from the arguments of the public method.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc

from durabletask import _core, task
from durabletask._protobuf import classes_of
from durabletask._states import OrchestrationState, OrchestrationStatus, micros_of
from durabletask._tracing import TraceContext
from durabletask._transport import (
    backoff_delays,
    code_of,
    describe,
    is_connection_failure,
    is_for_want_of_a_worker,
)
from durabletask.internal import shared
from durabletask.internal.orchestrator_service_pb2 import OrchestrationIdReusePolicy

if TYPE_CHECKING:
    from durabletask.payloads import PayloadConverter

# gRPC waits no longer than this many seconds for one answer; a wait that is to go on then asks
# again.
_LONGEST_CALL = 24 * 3600.0


def text(value: Any, what: str) -> str:
    """The value, which has to be a string; raises TypeError that names what it is for, and what was found."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, found {value!r} ({type(value).__name__})")
    return value


def encoded(value: Any, converter: PayloadConverter | None = None) -> str | None:
    """The JSON of a payload; None stands for no payload, and all else for itself, 0 and "" too."""
    if value is None:
        return None
    return shared.to_json(value) if converter is None else converter.to_json(value)


def name_of(orchestrator: task.Orchestrator[Any, Any] | str) -> str:
    """The name of an orchestrator given as a function or as a name."""
    return orchestrator if isinstance(orchestrator, str) else task.get_name(orchestrator)


def new_instance_id() -> str:
    """The id of an orchestration that is given none."""
    return uuid.uuid4().hex


def create_request(
    name: str,
    input_value: Any,
    instance_id: str,
    start_at: datetime | None,
    reuse_id_policy: OrchestrationIdReusePolicy | None,
    converter: PayloadConverter | None = None,
    trace_context: TraceContext | None = None,
    *,
    unique_instance_id: bool = False,
    app_id: str | None = None,
) -> bytes:
    """The CreateInstanceRequest."""
    return _core.encode_create_instance_request(
        instance_id,
        name,
        input=encoded(input_value, converter),
        start_at_micros=None if start_at is None else micros_of(start_at),
        reuse_id_policy=None
        if reuse_id_policy is None
        else (list(reuse_id_policy.operationStatus), reuse_id_policy.action),
        trace_context=trace_context,
        unique_instance_id=unique_instance_id,
        app_id=app_id,
    )


def by_stub(stub: Any, method: str, request: bytes, timeout: float | None) -> bytes:
    """Make a call by a stub that a program has put in the place of the client's own, with messages of protobuf."""
    asked, _ = classes_of(method)
    limit = None if timeout is None or timeout >= _LONGEST_CALL else timeout
    response = getattr(stub, method)(asked.FromString(request), timeout=limit)
    serialized: bytes = response.SerializeToString()
    return serialized


class Wait:
    """One wait for an orchestration, over as many calls as it takes.

    A call that loses its connection, or that no worker is there to serve, is made again until the
    time is up. To be used as: call with `call_timeout`; on an error sleep for `pause_after(error)`
    and call again.
    """

    def __init__(self, logger: logging.Logger, instance_id: str, goal: str, timeout: float | None):
        """`goal` is "start" or "complete"; `timeout` is in seconds, 0 or None for ever."""
        if timeout is not None and math.isnan(timeout):
            raise ValueError("timeout must be a number of seconds, found nan")
        self._logger = logger
        self._instance_id = instance_id
        self._goal = goal
        self._deadline = time.monotonic() + timeout if timeout else None
        self._first = timeout or None
        self._delays: Iterator[float] | None = None
        span = f"up to {timeout}s" if timeout else "indefinitely"
        fields = {"instance_id": instance_id}
        logger.info("Waiting %s for instance '%s' to %s.", span, instance_id, goal, extra=fields)

    @property
    def call_timeout(self) -> float:
        """The timeout of the next call, in seconds; of the first one, as it was given."""
        if self._first is not None:
            first, self._first = self._first, None
            return min(max(first, 0.0), _LONGEST_CALL)
        if self._deadline is None:
            return _LONGEST_CALL
        return min(max(self._deadline - time.monotonic(), 0.0), _LONGEST_CALL)

    def pause_after(self, error: Any) -> float:
        """How long to pause, in seconds, before calling again.

        Raises:
            TimeoutError: The time is up.
            grpc.RpcError: `error`, if calling again is of no use.
        """
        timed_out = code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED
        connected = timed_out or not is_connection_failure(error)
        if connected and not timed_out and not is_for_want_of_a_worker(error):
            raise error
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if left is not None and left <= (0.01 if timed_out else 0.0):
            raise TimeoutError(
                f"Timed-out waiting for the orchestration to {self._goal}"
            ) from error
        if timed_out:
            return 0.0
        if self._delays is None:
            self._logger.warning(
                "%s while waiting for instance '%s' to %s; trying again. (%s)",
                "No worker is connected" if connected else "Lost the connection",
                self._instance_id,
                self._goal,
                describe(error),
                extra={"instance_id": self._instance_id},
            )
            self._delays = backoff_delays(0.1, 5.0)
        delay = next(self._delays)
        return delay if left is None else min(delay, left)


def log_outcome(logger: logging.Logger, state: OrchestrationState | None) -> None:
    """Tell the log how an orchestration ended."""
    if state is None:
        return
    fields = {"instance_id": state.instance_id, "orchestration": state.name}
    if state.runtime_status is OrchestrationStatus.FAILED and state.failure_details is not None:
        logger.info(
            "Instance '%s' failed: [%s] %s",
            state.instance_id,
            state.failure_details.error_type,
            state.failure_details.message,
            extra=fields,
        )
    elif state.runtime_status is OrchestrationStatus.TERMINATED:
        logger.info("Instance '%s' was terminated.", state.instance_id, extra=fields)
    elif state.runtime_status is OrchestrationStatus.COMPLETED:
        logger.info("Instance '%s' completed.", state.instance_id, extra=fields)
