"""What clients learn about orchestrations. Public through `durabletask.client`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple

from durabletask import _core
from durabletask._failures import FailureDetails, failure_of
from durabletask.internal import orchestrator_service_pb2 as pb

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


class OrchestrationStatus(Enum):
    """Where an orchestration is in its life. `str()` gives the bare name."""

    RUNNING = pb.ORCHESTRATION_STATUS_RUNNING
    COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED
    FAILED = pb.ORCHESTRATION_STATUS_FAILED
    TERMINATED = pb.ORCHESTRATION_STATUS_TERMINATED
    CONTINUED_AS_NEW = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
    PENDING = pb.ORCHESTRATION_STATUS_PENDING
    SUSPENDED = pb.ORCHESTRATION_STATUS_SUSPENDED
    CANCELED = pb.ORCHESTRATION_STATUS_CANCELED
    STALLED = pb.ORCHESTRATION_STATUS_STALLED

    def __str__(self) -> str:
        return self.name


@dataclass
class OrchestrationState:
    """What the sidecar knew about an orchestration when it was asked.

    Times are UTC, without tzinfo. The `serialized_` texts are JSON as it was given; they are None
    when there is none, and when payloads were not asked for.
    """

    instance_id: str
    name: str
    runtime_status: OrchestrationStatus
    created_at: datetime
    last_updated_at: datetime
    serialized_input: str | None
    serialized_output: str | None
    serialized_custom_status: str | None
    failure_details: FailureDetails | None

    def raise_if_failed(self) -> None:
        """Raise `OrchestrationFailedError` if the orchestration failed."""
        if self.failure_details is not None:
            raise OrchestrationFailedError(
                f"Orchestration '{self.instance_id}' failed: {self.failure_details.message}",
                self.failure_details,
            )


class OrchestrationFailedError(Exception):
    """An orchestration ended with an exception."""

    def __init__(self, message: str, failure_details: FailureDetails):
        super().__init__(message)
        self._failure_details = failure_details

    def __reduce__(self) -> tuple[type[OrchestrationFailedError], tuple[str, FailureDetails]]:
        return type(self), (str(self), self._failure_details)

    @property
    def failure_details(self) -> FailureDetails:
        """What went wrong in the orchestration."""
        return self._failure_details


@dataclass(frozen=True)
class HistoryEvent:
    """One event of an orchestration's history.

    Attributes:
        event_id: The id of the action that the event confirms, or -1.
        timestamp: When it was recorded: UTC, without tzinfo.
        event_type: The event's name in the protocol, such as "taskScheduled"; "unknown" if it is
            newer than this package.
        attributes: Its fields, under their names in the protocol; payloads are JSON as it was
            given.
        serialized: The event as the sidecar sent it.
    """

    event_id: int
    timestamp: datetime | None
    event_type: str
    attributes: dict[str, Any]
    serialized: bytes


class InstanceIdPage(NamedTuple):
    """A page of instance ids, and the token that asks for the next one; None: this is the last."""

    instance_ids: list[str]
    continuation_token: str | None


class OrchestrationPage(NamedTuple):
    """A page of orchestrations, and the token that asks for the next one; None: this is the last."""

    states: list[OrchestrationState]
    continuation_token: str | None


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970; a datetime without tzinfo is UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return (moment - _EPOCH) // _MICROSECOND


def datetime_of(micros: int) -> datetime:
    """The UTC datetime, without tzinfo, of microseconds since 1970."""
    return _EPOCH + micros * _MICROSECOND


def decode_state(instance_id: str, response: bytes) -> OrchestrationState | None:
    """The state in a GetInstanceResponse, or None if there is no such instance."""
    fields = _core.decode_get_instance_response(response)
    if fields is None:
        return None
    return _state_of(instance_id, fields)


def decode_states(found: list[tuple[str, _core.InstanceState]]) -> list[OrchestrationState]:
    """The states in a page, each with its instance's id."""
    return [_state_of(instance_id, fields) for instance_id, fields in found]


def _state_of(instance_id: str, fields: _core.InstanceState) -> OrchestrationState:
    name, status, created, updated, input_, output, custom_status, failure = fields
    return OrchestrationState(
        instance_id,
        name,
        OrchestrationStatus(status),
        datetime_of(created),
        datetime_of(updated),
        input_,
        output,
        custom_status,
        None if failure is None else failure_of(failure),
    )


_TIME_ATTRIBUTES = ("fireAt", "scheduledStartTimestamp")


def decode_history(response: bytes) -> list[HistoryEvent]:
    """The events in a GetInstanceHistoryResponse."""
    return [history_event(event) for event in _core.decode_history(response)]


def history_event(event: _core.HistoryEvent) -> HistoryEvent:
    """An event as the native module hands it out, its attributes in Python's types."""
    event_id, micros, event_type, attributes, serialized = event
    for name in _TIME_ATTRIBUTES:
        if name in attributes:
            attributes[name] = datetime_of(attributes[name])
    if "failureDetails" in attributes:
        attributes["failureDetails"] = failure_of(attributes["failureDetails"])
    if "orchestrationStatus" in attributes:
        attributes["orchestrationStatus"] = OrchestrationStatus(attributes["orchestrationStatus"])
    timestamp = None if micros is None else datetime_of(micros)
    return HistoryEvent(event_id, timestamp, event_type, attributes, serialized)


def new_orchestration_state(instance_id: str, res: Any) -> OrchestrationState | None:
    """The state in a GetInstanceResponse that is a message of protobuf; None: there is no such instance."""
    return decode_state(instance_id, res.SerializeToString())
