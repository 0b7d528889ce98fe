"""Work that is left unanswered here: it waits for a worker with other code, or for this one to have room."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict

from durabletask import _core
from durabletask._worker.connection import Connection
from durabletask._worker.received import Received

# Seconds between two streams that are given up for the sake of what was left unanswered on them: that must not keep
# everybody else from working.
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0

# How many reports are remembered, so that each is logged once.
_REMEMBERED = 10_000


class Unanswered:
    """What is left to others, and the stream that holds it.

    A sidecar hands such work out again when its stream has ended, to whoever is connected then. So the stream is given
    up now and then, less and less often.
    """

    def __init__(self, logger: logging.Logger):
        self._logger = logger
        self._connection: Connection | None = None
        self._ask_again_at = 0.0
        self._pause = _FIRST_PAUSE
        self._said: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def leave(self, received: Received) -> None:
        """A work item gets no answer on its connection."""
        self._connection = received.connection

    def ask_again(self) -> None:
        """Give up the stream that holds something, if it is time."""
        connection, now = self._connection, time.monotonic()
        if connection is None or now < self._ask_again_at:
            return
        self._connection = None
        self._ask_again_at = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if connection.alive():
            connection.abandon("work was left unanswered")

    def stall(self, received: Received, stalled: _core.Stalled) -> bytes | None:
        """The answer to a turn that does not fit the code here; None where the sidecar would make nothing of one.

        Dapr and the embedded sidecar show the instance as STALLED, and go on when another worker connects.
        """
        self._say(
            (stalled.instance_id, stalled.kind, stalled.name, stalled.version or ""),
            f"'{stalled.instance_id}' stalls: this worker does not have the code that it needs, and it goes on as soon "
            f"as a worker that has connects.\n{stalled.report}",
            {"instance_id": stalled.instance_id, "orchestration": stalled.name},
        )
        if received.connection.knows_stalls():
            return _core.encode_orchestrator_stall(
                received.item.instance_id, received.item.completion_token
            )
        self.leave(received)
        return None

    def lacks_activity(self, received: Received) -> None:
        """An activity is not registered here; its work item gets no answer."""
        item = received.item
        self._say(
            (item.instance_id, "activity", item.name),
            f"'{item.instance_id}' waits for the activity '{item.name}', which was not registered on this worker; it "
            "goes on as soon as a worker that has it connects.",
            {"instance_id": item.instance_id, "activity": item.name, "task_id": item.task_id},
        )
        self.leave(received)

    def _say(self, what: tuple[str, ...], message: str, fields: dict[str, object]) -> None:
        level = logging.DEBUG if what in self._said else logging.ERROR
        self._said[what] = None
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        self._logger.log(level, "%s", message, extra=fields)
