"""Calls over many orchestrations: on our own sidecar by its own service, on others one orchestration at a time.

What is to be sent is said here, a batch of calls at a time, as generators; each client makes the calls in its own way
and sends back what came of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import grpc

from durabletask import _core
from durabletask._states import (
    OrchestrationPage,
    OrchestrationState,
    OrchestrationStatus,
    decode_state,
    decode_states,
    micros_of,
)
from durabletask._transport import code_of

AT_ONCE = 16
"""How many calls of a batch are under way at once."""

_SERVICE = "/durabletask.sidecar.v1.SidecarService/"
_PAGE = 100
_FINAL = (
    OrchestrationStatus.COMPLETED,
    OrchestrationStatus.FAILED,
    OrchestrationStatus.TERMINATED,
    OrchestrationStatus.CANCELED,
)

T = TypeVar("T")
Call = tuple[str, bytes]
Outcome = bytes | Exception
Steps = Generator[list[Call], list[Outcome], T]

Statuses = OrchestrationStatus | Iterable[OrchestrationStatus] | None


class _Unknown(grpc.RpcError):  # type: ignore[misc,unused-ignore]
    """What a sidecar without our service answers."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNIMPLEMENTED

    def details(self) -> str:
        return "this stub has no such method"


def unknown_to_stubs(call: Call) -> Outcome | None:
    """The outcome of a call of our own service where a program has its own stub, which has none of them."""
    return _Unknown() if call[0].startswith(_SERVICE) else None


@dataclass(frozen=True)
class Filter:
    """Which orchestrations are meant: those that everything fits that is given."""

    status: Statuses = None
    name: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    instance_id_prefix: str | None = None
    roots_only: bool = False
    statuses: list[OrchestrationStatus] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        given = self.status
        if isinstance(given, OrchestrationStatus):
            given = [given]
        object.__setattr__(self, "statuses", [OrchestrationStatus(each) for each in given or ()])

    def encoded(self) -> _core.InstanceFilter:
        """The filter as the native module takes it."""
        return (
            [status.value for status in self.statuses],
            self.name,
            (_micros(self.created_from), _micros(self.created_to)),
            (_micros(self.updated_from), _micros(self.updated_to)),
            self.instance_id_prefix,
            self.roots_only,
        )

    def fits(self, state: OrchestrationState, response: bytes) -> bool:
        """Whether it fits this state, which was decoded from this response."""
        return (
            (not self.statuses or state.runtime_status in self.statuses)
            and (not self.name or state.name == self.name)
            and _within(state.created_at, self.created_from, self.created_to)
            and _within(state.last_updated_at, self.updated_from, self.updated_to)
            and not (self.roots_only and _core.decode_parent_instance_id(response))
        )


def list_page(
    wanted: Filter, fetch_payloads: bool, page_size: int | None, continuation_token: str | None
) -> Steps[OrchestrationPage]:
    """A page of the orchestrations that fit."""
    if page_size is not None and page_size < 1:
        raise ValueError(f"page_size must be >= 1, got {page_size}")
    request = _core.encode_list_instances_request(
        wanted.encoded(), fetch_payloads, continuation_token, page_size
    )
    (outcome,) = yield [(_SERVICE + "ListInstances", request)]
    if not _is_unknown(outcome):
        states, token = _core.decode_list_instances_response(_given(outcome))
        return OrchestrationPage(decode_states(states), token)
    return (
        yield from _page_one_by_one(wanted, fetch_payloads, page_size or _PAGE, continuation_token)
    )


def purge_all(wanted: Filter) -> Steps[int]:
    """Delete the orchestrations that fit and have ended, with those that they started."""
    request = _core.encode_purge_by_filter_request(wanted.encoded(), recursive=True)
    (outcome,) = yield [(_SERVICE + "PurgeInstances", request)]
    if not _is_unknown(outcome):
        return _core.decode_purge_by_filter_response(_given(outcome))
    # All are found before any is deleted: what a token means while ids go is the sidecar's secret.
    found: list[str] = []
    token: str | None = None
    while True:
        page = yield from _page_one_by_one(wanted, False, _PAGE, token)
        found += [state.instance_id for state in page.states if state.runtime_status in _FINAL]
        token = page.continuation_token
        if token is None:
            break
    deleted = 0
    for begin in range(0, len(found), _PAGE):
        outcomes = yield [
            ("PurgeInstances", _core.encode_purge_instances_request(each, recursive=True))
            for each in found[begin : begin + _PAGE]
        ]
        for outcome in outcomes:
            # It went with the one that had started it, or something below it is still at work.
            if _code(outcome) in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION):
                continue
            deleted += _core.decode_purge_instances_response(_given(outcome))[0]
    return deleted


def restart(instance_id: str, new_instance_id: str, app_id: str | None) -> Steps[str]:
    """Start an orchestration again, with what it was started with."""
    request = _core.encode_get_instance_request(instance_id, True, app_id=app_id)
    (outcome,) = yield [("GetInstance", request)]
    again = _core.encode_restart_request(_given(outcome), new_instance_id, app_id=app_id)
    if again is None:
        raise ValueError(f"there is no orchestration '{instance_id}' to start again")
    (outcome,) = yield [("StartInstance", again)]
    return _core.decode_create_instance_response(_given(outcome))


def _page_one_by_one(
    wanted: Filter, fetch_payloads: bool, page_size: int, token: str | None
) -> Steps[OrchestrationPage]:
    """The same on a sidecar that only knows ids: each page is one of ids, some of which fit.

    A page without any that fits is passed over.
    """
    states: list[OrchestrationState] = []
    while not states:
        request = _core.encode_list_instance_ids_request(token, page_size)
        (outcome,) = yield [("ListInstanceIDs", request)]
        ids, next_token = _core.decode_list_instance_ids_response(_given(outcome))
        token = next_token or None
        prefix = wanted.instance_id_prefix or ""
        ids = [each for each in ids if each.startswith(prefix)]
        responses: Sequence[Outcome] = ()
        if ids:
            responses = yield [
                ("GetInstance", _core.encode_get_instance_request(each, fetch_payloads))
                for each in ids
            ]
        for instance_id, response in zip(ids, responses, strict=True):
            state = decode_state(instance_id, _given(response))
            # None: it was deleted meanwhile.
            if state is not None and wanted.fits(state, _given(response)):
                states.append(state)
        if token is None:
            break
    return OrchestrationPage(states, token)


def _given(outcome: Outcome) -> bytes:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _code(outcome: Outcome) -> grpc.StatusCode | None:
    return code_of(outcome) if isinstance(outcome, Exception) else None


def _is_unknown(outcome: Outcome) -> bool:
    """Whether the sidecar does not have our service."""
    if not isinstance(outcome, Exception):
        return False
    # Dapr takes calls that it does not know for ones to another app, and misses that app's name.
    proxied = code_of(outcome) is grpc.StatusCode.UNKNOWN and "failed to proxy" in str(outcome)
    return proxied or code_of(outcome) is grpc.StatusCode.UNIMPLEMENTED


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else micros_of(moment)


def _within(moment: datetime, begin: datetime | None, end: datetime | None) -> bool:
    micros = micros_of(moment)
    return (begin is None or micros >= micros_of(begin)) and (
        end is None or micros <= micros_of(end)
    )
