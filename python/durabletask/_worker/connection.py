"""One connection to the sidecar: a channel, and the stream of work items on it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc.experimental import ChannelOptions

from durabletask import _core
from durabletask._transport import is_connection_failure, open_channel, path

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

_CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Each connection is to be a new one: gRPC otherwise shares sockets between channels to the same
    # address, dead ones too.
    ("grpc.use_local_subchannel_pool", 1),
    # The reader itself waits for the network, without a thread between: a third less per work item.
    (ChannelOptions.SingleThreadedUnaryStream, 1),
    # Pauses between attempts are the worker's own affair; gRPC's grow up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_RECEIVE_LIMIT = "grpc.max_receive_message_length"


def offer_of(orchestrators: Sequence[Any], activities: Sequence[str]) -> list[tuple[str, bytes]]:
    """What a worker says of itself when it asks for work; nothing if that were too much."""
    offer = [
        ("durabletask-orchestrators-bin", json.dumps(orchestrators, ensure_ascii=False).encode()),
        ("durabletask-activities-bin", json.dumps(activities, ensure_ascii=False).encode()),
    ]
    return offer if sum(len(value) for _, value in offer) <= _LARGEST_OFFER else []


def without_receive_limit(
    options: Sequence[tuple[str, Any]] | None, logger: logging.Logger
) -> list[tuple[str, Any]]:
    """The channel options of a worker: those of the program, but for a limit on what is received.

    A work item that does not fit through is sent again and again, and everything behind it waits; the same goes for a
    history that has to be fetched.
    """
    limit = dict(options or ()).get(_RECEIVE_LIMIT, -1)
    if limit != -1:
        logger.warning(
            "The channel option %s=%s does not apply to the worker: a history that is larger could "
            "never be replayed, and would hold up all others.",
            _RECEIVE_LIMIT,
            limit,
        )
    kept = [option for option in options or () if option[0] != _RECEIVE_LIMIT]
    return [*_CHANNEL_OPTIONS, *kept, (_RECEIVE_LIMIT, -1)]


class Connection:
    """A channel with its stream, from connecting to the loss of the stream."""

    def __init__(
        self,
        host_address: str,
        secure_channel: bool,
        interceptors: Sequence[Any] | None,
        channel_options: Sequence[tuple[str, Any]],
        *,
        stateful_history: bool,
        offer: Sequence[tuple[str, bytes]] = (),
    ):
        self._offer = tuple(offer)
        self._knows_stalls: bool | None = None
        self._capabilities = (*((_STATEFUL_HISTORY,) if stateful_history else ()), _HEALTH_PING)
        self._channel = open_channel(host_address, secure_channel, interceptors, channel_options)
        _leave_out_of_forks(self._channel)
        self._hello: Any = self._channel.unary_unary(path("Hello"))
        self._work_items: Any = self._channel.unary_stream(path("GetWorkItems"))
        self._history: Any = self._channel.unary_unary(path("GetInstanceHistory"))
        self._completions: dict[str, Any] = {
            "orchestrator": self._channel.unary_unary(path("CompleteOrchestratorTask")),
            "activity": self._channel.unary_unary(path("CompleteActivityTask")),
        }
        self._stream: Any = None
        self._abandoned: str | None = None
        self._alive = True
        self._ended = threading.Event()

    def alive(self) -> bool:
        """Whether results may still be reported; later the sidecar gives the work to others."""
        return self._alive

    def wait_ended(self, timeout: float) -> bool:
        """Wait for the end, `timeout` seconds at most; True if it has come."""
        return self._ended.wait(timeout)

    def hello(self, timeout: float) -> None:
        """Ask the sidecar whether it is there."""
        self._hello(b"", timeout=timeout)

    def open_stream(self, turns: int, activities: int) -> None:
        """Ask for work items, so many at a time of each sort; they come by `items`."""
        request = _core.encode_get_work_items_request(
            min(turns, _INT32_MAX),
            min(activities, _INT32_MAX),
            self._capabilities,
        )
        self._stream = self._work_items(request, metadata=self._offer or None)

    def items(self) -> Iterator[bytes]:
        """The work items as they arrive, until the sidecar ends the stream.

        Raises:
            grpc.RpcError: The stream broke.
        """
        yield from self._stream

    def fetch_history(self, instance_id: str) -> bytes:
        """The whole stored history of an instance, as a serialized `GetInstanceHistoryResponse`.

        Raises:
            grpc.RpcError: The sidecar did not answer, or does not keep histories.
        """
        request = _core.encode_get_instance_history_request(instance_id)
        history: bytes = self._history(request, timeout=_HISTORY_TIMEOUT)
        return history

    def knows_stalls(self) -> bool:
        """Whether the sidecar goes on with an instance that was reported as stalled, when another worker connects.

        Dapr and the embedded sidecar do. durabletask-go by itself knows the status, but goes on only with the next
        event: it is told by what gRPC for Go says of a service that Dapr has.
        """
        if self._knows_stalls is None:
            try:
                probe: Any = self._channel.unary_unary(_DAPR_METADATA)
                probe(b"", timeout=_PROBE_TIMEOUT)
                self._knows_stalls = True
            except grpc.RpcError as error:
                if is_connection_failure(error):
                    return False
                details: str = error.details() or ""  # type: ignore[attr-defined,unused-ignore]
                self._knows_stalls = "unknown service" not in details
        return self._knows_stalls

    def complete(self, kind: str, response: bytes, timeout: float) -> None:
        """Report the result of a work item of a kind, "orchestrator" or "activity"."""
        self._completions[kind](response, timeout=timeout)

    def abandon(self, reason: str) -> None:
        """Give the connection up from another thread: `items` ends, and `why_abandoned` says why."""
        self._abandoned = reason
        self.close()

    @property
    def why_abandoned(self) -> str | None:
        """The reason given to `abandon`, if it was called."""
        return self._abandoned

    def close(self) -> None:
        """End everything: calls in progress fail, and those who wait for the end go on.

        The stream is ended by its channel and not by its own `cancel`: that hides from the reader what gRPC still has
        to say about the stream, and what nobody reads keeps the socket open.
        """
        self._alive = False
        self._ended.set()
        # A replaced channel may raise here. There is nothing left to lose.
        try:
            self._channel.close()
        except Exception:
            return

    def finish(self) -> None:
        """The same for the reader itself, which is done with `items`."""
        self.close()
        stream = self._stream
        if stream is None:
            return
        try:
            for _ in stream:  # see `close`: to its end
                pass
        except Exception:
            return


def _leave_out_of_forks(channel: Any) -> None:
    """Have gRPC not touch a channel in forked children.

    With GRPC_ENABLE_FORK_SUPPORT it cancels there what runs on each channel, and hangs in `fork()` on a stream that a
    thread of the parent reads. The child knows by itself that nothing of this is its own.
    """
    try:
        from grpc._cython.cygrpc import (  # type: ignore[import-not-found,unused-ignore]
            fork_unregister_channel,
        )
    except ImportError:
        return
    while channel is not None:
        fork_unregister_channel(channel)
        channel = getattr(channel, "_channel", None)  # below interceptors
