"""Answers on their way to the sidecar: handed to their connection, and told of when it is known what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import grpc

from durabletask._transport import code_of, describe
from durabletask._worker.received import Received

# Makes the answer that takes the place of one that was too large, from the work item and a message.
Replace = Callable[[Received, str], bytes]
# Told whether the sidecar has an answer, or does not want it; False: the stream has ended, and the sidecar hands the
# work out again.
Ended = Callable[[bool], None]


class Report:
    """The answer to a work item, until it is settled."""

    __slots__ = ("_ended", "_received", "_replaced", "_reports", "response")

    def __init__(self, reports: Reports, received: Received, response: bytes, ended: Ended):
        self._reports = reports
        self._received = received
        self._ended = ended
        self._replaced = False
        self.response = response

    @property
    def kind(self) -> str:
        """The work item's: "orchestrator" or "activity"."""
        return self._received.item.kind

    @property
    def subject(self) -> str:
        """What the log calls it."""
        return self._received.subject

    @property
    def fields(self) -> dict[str, object]:
        """What goes with a log line about it."""
        return self._received.fields

    def send(self) -> None:
        """Hand it to its connection."""
        self._received.connection.report(self)

    def settle(self, outcome: grpc.RpcError | Literal[False] | None) -> None:
        """It was taken (None), or refused with an error that another attempt would meet again; or its stream has ended.

        A result that is too large for the channel is replaced once, by a failure. Called by its connection.
        """
        if outcome is None:
            self._ended(True)
        elif outcome is False:
            self._ended(False)
        elif code_of(outcome) is grpc.StatusCode.RESOURCE_EXHAUSTED and not self._replaced:
            message = (
                f"The result of {self.subject} was not accepted: it is too large for the channel "
                f"to the sidecar ({len(self.response)} bytes; {describe(outcome)}). Return less, or "
                f"raise the sidecar's limit on message size."
            )
            self._reports.logger.error("%s", message, extra=self.fields)
            self.response = self._reports.replace(self._received, message)
            self._replaced = True
            self.send()
        else:
            # Most often the work was taken over by somebody else, or its orchestration has ended.
            self._reports.logger.warning(
                "The sidecar refused the result of %s: %s",
                self.subject,
                describe(outcome),
                extra=self.fields,
            )
            self._ended(True)


class Reports:
    """Reports answers of one kind."""

    def __init__(self, replace: Replace, logger: logging.Logger):
        """`replace` makes what is reported instead of an answer that is too large."""
        self.replace = replace
        self.logger = logger

    def send(self, received: Received, response: bytes, ended: Ended) -> None:
        """Report an answer; `ended` is told once what became of it, by this thread or by the connection's reader."""
        Report(self, received, response, ended).send()
