"""A connection by grpcio: for programs that use what only that has."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc.experimental import ChannelOptions

from durabletask._transport import (
    asks_to_try_again,
    backoff_delays,
    code_of,
    describe,
    is_connection_failure,
    open_channel,
)
from durabletask._worker.connection import COMPLETIONS, Connection
from durabletask._worker.reports import Report

# Seconds for one attempt. A connection that takes longer to swallow a result is taken for dead.
_REPORT_TIMEOUT = 120.0

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


class GrpcioConnection(Connection):
    """A channel with its stream."""

    waits_for_reports = True

    def __init__(
        self,
        host_address: str,
        secure_channel: bool,
        interceptors: Sequence[Any] | None,
        channel_options: Sequence[tuple[str, Any]],
        logger: logging.Logger,
        *,
        stateful_history: bool,
        offer: Sequence[tuple[str, bytes]] = (),
    ):
        super().__init__(stateful_history=stateful_history, offer=offer)
        self._logger = logger
        self._channel = open_channel(host_address, secure_channel, interceptors, channel_options)
        _leave_out_of_forks(self._channel)
        self._completions: dict[str, Any] = {
            kind: self._channel.unary_unary(method) for kind, method in COMPLETIONS.items()
        }
        self._stream: Any = None

    def items(self) -> Iterator[bytes]:
        """The work items as they arrive."""
        yield from self._stream

    def report(self, report: Report) -> None:
        """Report one result, and again after what may pass, while the stream lives."""
        complete = self._completions[report.kind]
        delays: Iterator[float] | None = None
        while self.alive():
            try:
                complete(report.response, timeout=_REPORT_TIMEOUT)
            except ValueError:  # the channel was closed before the call began
                break
            except grpc.RpcError as error:
                if not self.alive():
                    break
                if is_transient(error):
                    self._logger.debug(
                        "Reporting %s failed, trying again: %s",
                        report.subject,
                        describe(error),
                        extra=report.fields,
                    )
                    delays = backoff_delays(0.05, 5.0) if delays is None else delays
                    self._ended.wait(next(delays))
                    continue
                report.settle(error)
                return
            report.settle(None)
            return
        report.settle(False)

    def finish(self) -> None:
        """Close, and read what is left: what nobody reads keeps the socket open."""
        self.close()
        stream = self._stream
        if stream is None:
            return
        try:
            for _ in stream:
                pass
        except Exception:
            return

    def _call(self, method: str, request: bytes, timeout: float) -> bytes:
        call: Any = self._channel.unary_unary(method)
        answer: bytes = call(request, timeout=timeout)
        return answer

    def _stream_items(
        self, method: str, request: bytes, metadata: Sequence[tuple[str, bytes]]
    ) -> None:
        call: Any = self._channel.unary_stream(method)
        self._stream = call(request, metadata=metadata or None)

    def _shut(self) -> None:
        # The stream is ended by its channel and not by its own `cancel`: that hides from the reader what gRPC still has
        # to say about the stream. A replaced channel may raise here. There is nothing left to lose.
        try:
            self._channel.close()
        except Exception:
            return


def is_transient(error: grpc.RpcError) -> bool:
    """Whether a report that failed may succeed later."""
    timed_out = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
    return code_of(error) in timed_out or is_connection_failure(error) or asks_to_try_again(error)


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
