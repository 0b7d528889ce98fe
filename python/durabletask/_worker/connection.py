"""One connection to the sidecar and the stream of work items on it, whatever carries them."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from durabletask import _core
from durabletask._transport import is_connection_failure, path

if TYPE_CHECKING:
    from durabletask._worker.reports import Report

# WorkerCapability: the sidecar may leave out the part of a history that it has sent before.
_STATEFUL_HISTORY = 2
# It may send work items that only ask whether the stream is read, and need no answer.
_HEALTH_PING = 3

_INT32_MAX = 2**31 - 1

# Seconds for fetching a history, which may be megabytes.
_HISTORY_TIMEOUT = 60.0

# Says which features a Dapr sidecar has; nobody else has it.
_DAPR_METADATA = "/dapr.proto.runtime.v1.Dapr/GetMetadata"
_PROBE_TIMEOUT = 10.0

# Headers in all must not exceed 16 KiB on many servers; what is told here grows by a third on the way.
_LARGEST_OFFER = 8 * 1024

# Where the answers to the kinds of work items go.
COMPLETIONS = {
    "orchestrator": path("CompleteOrchestratorTask"),
    "activity": path("CompleteActivityTask"),
}


def offer_of(orchestrators: Sequence[Any], activities: Sequence[str]) -> list[tuple[str, bytes]]:
    """What a worker says of itself when it asks for work; nothing if that were too much."""
    offer = [
        ("durabletask-orchestrators-bin", json.dumps(orchestrators, ensure_ascii=False).encode()),
        ("durabletask-activities-bin", json.dumps(activities, ensure_ascii=False).encode()),
    ]
    return offer if sum(len(value) for _, value in offer) <= _LARGEST_OFFER else []


class Connection(ABC):
    """What a worker needs of a connection, from connecting to the loss of its stream.

    One thread, the reader, goes through `items` and calls `finish` in the end; all else may be called by any.
    """

    # Whether `report` waits for the sidecar; else what became of a report is told by the reader's thread.
    waits_for_reports: bool

    def __init__(self, *, stateful_history: bool, offer: Sequence[tuple[str, bytes]] = ()):
        self._offer = tuple(offer)
        self._knows_stalls: bool | None = None
        self._capabilities = (*((_STATEFUL_HISTORY,) if stateful_history else ()), _HEALTH_PING)
        self._abandoned: str | None = None
        self._alive = True
        self._ended = threading.Event()

    def alive(self) -> bool:
        """Whether results may still be reported; later the sidecar gives the work to others."""
        return self._alive

    def hello(self, timeout: float) -> None:
        """Ask the sidecar whether it is there."""
        self._call(path("Hello"), b"", timeout)

    def open_stream(self, turns: int, activities: int) -> None:
        """Ask for work items, so many at a time of each sort; they come by `items`."""
        request = _core.encode_get_work_items_request(
            min(turns, _INT32_MAX),
            min(activities, _INT32_MAX),
            self._capabilities,
        )
        self._stream_items(path("GetWorkItems"), request, self._offer)

    @abstractmethod
    def items(self) -> Iterator[bytes]:
        """The work items as they arrive, until the sidecar ends the stream.

        Raises:
            grpc.RpcError: The stream broke.
        """

    def pause(self, timeout: float) -> bool:
        """What the reader does that can take no item now, `timeout` seconds at most; False: it has nothing to do."""
        return False

    def fetch_history(self, instance_id: str) -> bytes:
        """The whole stored history of an instance, as a serialized `GetInstanceHistoryResponse`.

        Raises:
            grpc.RpcError: The sidecar did not answer, or does not keep histories.
        """
        request = _core.encode_get_instance_history_request(instance_id)
        return self._call(path("GetInstanceHistory"), request, _HISTORY_TIMEOUT)

    def knows_stalls(self) -> bool:
        """Whether the sidecar goes on with an instance that was reported as stalled, when another worker connects.

        Dapr and the embedded sidecar do. durabletask-go by itself knows the status, but goes on only with the next
        event: it is told by what gRPC for Go says of a service that Dapr has.
        """
        if self._knows_stalls is None:
            try:
                self._call(_DAPR_METADATA, b"", _PROBE_TIMEOUT)
                self._knows_stalls = True
            except grpc.RpcError as error:
                if is_connection_failure(error):
                    return False
                details: str = error.details() or ""  # type: ignore[attr-defined,unused-ignore]
                self._knows_stalls = "unknown service" not in details
        return self._knows_stalls

    @abstractmethod
    def report(self, report: Report) -> None:
        """Hand in the answer to a work item, as often as it takes; `report.settle` is told what became of it."""

    def abandon(self, reason: str) -> None:
        """Give the connection up from another thread: `items` ends, and `why_abandoned` says why."""
        self._abandoned = reason
        self.close()

    @property
    def why_abandoned(self) -> str | None:
        """The reason given to `abandon`, if it was called."""
        return self._abandoned

    def hasten(self) -> None:
        """Have what became of reports told at once from now on: somebody waits for it."""
        return None

    def close(self) -> None:
        """End everything: calls in progress fail, and those who wait for the end go on."""
        self._alive = False
        self._ended.set()
        self._shut()

    @abstractmethod
    def finish(self) -> None:
        """The same for the reader itself, which is done with `items`. When it returns, all reports are settled."""

    # What carries it

    @abstractmethod
    def _call(self, method: str, request: bytes, timeout: float) -> bytes:
        """Make a call with one answer, by its path.

        Raises:
            grpc.RpcError: It failed.
        """

    @abstractmethod
    def _stream_items(
        self, method: str, request: bytes, metadata: Sequence[tuple[str, bytes]]
    ) -> None:
        """Begin the call that `items` reads."""

    @abstractmethod
    def _shut(self) -> None:
        """End what goes on; it may have ended already."""


# Makes a connection; whether anything is parked is asked as often as something is read.
Connect = Callable[[Sequence[tuple[str, bytes]], Callable[[], bool]], Connection]
