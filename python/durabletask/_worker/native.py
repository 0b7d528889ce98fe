"""A connection by the package's own transport, which does the network's work on a thread without the interpreter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from durabletask import _core
from durabletask._transport import describe
from durabletask._worker.connection import COMPLETIONS, Connection
from durabletask._worker.reports import Report

_CODES = {code.value[0]: code for code in grpc.StatusCode}

# What `take` tells of.
_Outcomes = Sequence[tuple[Report, Any]]


class CallError(grpc.RpcError):
    """A call that failed, with what gRPC's own errors have; made by the transport."""

    def __init__(self, code: int, details: str, status: bytes):
        """`status` is a serialized `google.rpc.Status`, or nothing."""
        super().__init__(details)
        self._code = _CODES.get(code, grpc.StatusCode.UNKNOWN)
        self._details = details
        self._status = status

    def code(self) -> grpc.StatusCode:
        """Which sort of failure."""
        return self._code

    def details(self) -> str:
        """What is said about it."""
        return self._details

    def trailing_metadata(self) -> Any:
        """What the sidecar sent along, as far as it tells more about the failure."""
        return (("grpc-status-details-bin", self._status),) if self._status else ()

    def __str__(self) -> str:
        return describe(self)


class NativeConnection(Connection):
    """A connection on a running transport."""

    waits_for_reports = False

    def __init__(
        self,
        wire: _core.TransportConnection,
        is_waited_for: Callable[[], bool],
        logger: logging.Logger,
        *,
        stateful_history: bool,
        offer: Sequence[tuple[str, bytes]] = (),
    ):
        """`is_waited_for`: whether it matters how soon what became of reports is told."""
        super().__init__(stateful_history=stateful_history, offer=offer)
        self._wire = wire
        self._is_waited_for = is_waited_for
        self._logger = logger

    def items(self) -> Iterator[bytes]:
        """The work items as they arrive."""
        while True:
            outcomes, messages, ended = self._wire.take(self._is_waited_for())
            self._settle(outcomes)
            yield from messages
            if isinstance(ended, grpc.RpcError):
                raise ended
            if ended:
                return

    def pause(self, timeout: float) -> bool:
        """Tell what became of reports, as soon as something did."""
        self._settle(self._wire.take_outcomes(timeout))
        return True

    def report(self, report: Report) -> None:
        """Hand a report over; the transport sends it again after what may pass."""
        if not self._wire.report(COMPLETIONS[report.kind], report.response, report):
            report.settle(False)

    def hasten(self) -> None:
        """Wake the reader for what it has not told yet."""
        self._wire.hasten()

    def finish(self) -> None:
        """Close, and settle what was on its way."""
        self.close()
        self._settle(self._wire.take_outcomes(0.0))

    def _settle(self, outcomes: _Outcomes) -> None:
        for report, outcome in outcomes:
            try:
                report.settle(outcome)
            except Exception:
                self._logger.exception(
                    "What became of the result of %s could not be told",
                    report.subject,
                    extra=report.fields,
                )

    def _call(self, method: str, request: bytes, timeout: float) -> bytes:
        return self._wire.call(method, request, timeout)

    def _stream_items(
        self, method: str, request: bytes, metadata: Sequence[tuple[str, bytes]]
    ) -> None:
        self._wire.stream(method, request, list(metadata))

    def _shut(self) -> None:
        self._wire.close()
