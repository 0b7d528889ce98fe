"""Builds the histories that are replayed, shaped like those that sidecars send.

Every turn begins with `orchestratorStarted`; what an orchestrator asked for in a turn is confirmed at its end; times,
routers and execution ids are as long as real ones. Everything but the last turn is past.

Two dialects of the protocol are written. Dapr's packages get the same bytes, all of them. Microsoft's protocol uses the
same field numbers, but has no routers and execution ids, and another use for their numbers: there they are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.wire import Value, message, text

Dialect = Literal["dapr", "microsoft"]

INSTANCE = "6f1c24d5f789de453b8e4dfb8db97e2e"
EXECUTION = "0ad7905b-747e-4529-800e-bc7b59da2988"
APP = "orders-app"
START = 1_795_360_446_816_478_139
"""The first turn's time, in nanoseconds since the epoch."""
MILLISECOND = 1_000_000
STACK = """\
  File "/app/.venv/lib/python3.11/site-packages/durabletask/worker.py", line 932, in _execute_activity
    result = executor.execute(
  File "/app/.venv/lib/python3.11/site-packages/durabletask/worker.py", line 1752, in execute
    activity_output = fn(ctx, activity_input)
  File "/app/orders/activities.py", line 45, in reserve
    raise ConnectionError("the warehouse does not answer")
"""
"""A failure's stack trace, as long as they are."""

# Field numbers of HistoryEvent.
EXECUTION_STARTED = 3
TASK_SCHEDULED = 6
TASK_COMPLETED = 7
TASK_FAILED = 8
SUB_CREATED = 9
SUB_COMPLETED = 10
TIMER_CREATED = 12
TIMER_FIRED = 13
ORCHESTRATOR_STARTED = 14
EVENT_RAISED = 17
ROUTER = 30


class History:
    """A history under construction. Ids are given out as the engine gives them out: one for each action, from 1."""

    def __init__(self, dialect: Dialect, orchestrator: str, input: Any) -> None:  # noqa: A002
        self._dapr = dialect == "dapr"
        self._router = message((1, APP))
        self._past = bytearray()
        self._turn: list[bytes] = []
        self._now = START
        self._last_id = 0
        self._past_count = 0
        self._sent = (0, 0)
        self.events = 0
        self.turn()
        self._add(
            EXECUTION_STARTED,
            (1, orchestrator),
            (3, text(json.dumps(input))),
            (4, message((1, INSTANCE), (2, text(EXECUTION)))),
        )

    def turn(self) -> History:
        """Make all that was new past and begin the next turn."""
        for event in self._turn:
            self._past += message((3, event))
        self._past_count += len(self._turn)
        self._turn.clear()
        self._now += 15 * MILLISECOND + 271_828
        self._turn_began = self._now
        self._add(ORCHESTRATOR_STARTED, router=False)
        return self

    def call(self, input: Any, *, again: int | None = None) -> int:  # noqa: A002
        """Confirm that an activity was scheduled, for the first time or `again`; return its id."""
        # Tried again, a call gets a new id from Dapr's packages and keeps the old one with Microsoft's.
        action = self._next_id() if again is None or self._dapr else again
        execution = _execution_id(again or action) if self._dapr else None
        self._add(
            TASK_SCHEDULED,
            (1, "activity"),
            (3, text(json.dumps(input))),
            (5, execution),
            action=action,
        )
        return action

    def completed(self, action: int, result: Any, *, first_attempt: int | None = None) -> None:
        """An activity's result has arrived."""
        execution = _execution_id(first_attempt or action) if self._dapr else None
        self._add(TASK_COMPLETED, (1, action), (2, text(json.dumps(result))), (3, execution))

    def failed(self, action: int) -> None:
        """An activity has failed."""
        details = message(
            (1, "ConnectionError"), (2, "the warehouse does not answer"), (3, text(STACK))
        )
        execution = _execution_id(action) if self._dapr else None
        self._add(TASK_FAILED, (1, action), (2, details), (3, execution))

    def timer(self, delay: int) -> tuple[int, bytes]:
        """Confirm a timer with a delay in nanoseconds; return its id, and when it is due."""
        action = self._next_id()
        # An orchestrator's clock has microseconds.
        due = _timestamp((self._turn_began + delay) // 1_000 * 1_000)
        self._add(TIMER_CREATED, (1, due), action=action)
        self._now += delay
        return action, due

    def fired(self, timer: tuple[int, bytes]) -> None:
        """A timer has fired."""
        action, due = timer
        self._add(TIMER_FIRED, (1, due), (2, action), router=False)

    def sub_orchestration(self, orchestrator: str, input: Any) -> int:  # noqa: A002
        """Confirm that a sub-orchestration was created; return its id."""
        action = self._next_id()
        self._add(
            SUB_CREATED,
            (1, f"{INSTANCE}:{action:04x}"),
            (2, orchestrator),
            (4, text(json.dumps(input))),
            action=action,
        )
        return action

    def sub_completed(self, action: int, result: Any) -> None:
        """A sub-orchestration's result has arrived."""
        self._add(SUB_COMPLETED, (1, action), (2, text(json.dumps(result))))

    def raised(self, name: str, data: Any) -> None:
        """An external event has arrived."""
        self._add(EVENT_RAISED, (1, name), (2, text(json.dumps(data))), router=False)

    def encode(self, *, delta: bool = False) -> bytes:
        """Serialize the OrchestratorRequest.

        Args:
            delta: leave out the past of the request before this one, as sidecars do that know the worker to have it.
        """
        events, size = self._sent
        self._sent = (self._past_count, len(self._past))
        request = bytearray(message((1, INSTANCE), (2, text(EXECUTION))))
        request += memoryview(self._past)[size if delta else 0 :]
        for event in self._turn:
            request += message((4, event))
        if delta:
            request += message((9, message((1, events))))
        return bytes(request)

    def _add(
        self, kind: int, *body: tuple[int, Value], action: int = -1, router: bool = True
    ) -> None:
        self._now += 3_141
        self.events += 1
        fields: list[tuple[int, Value]] = [(1, action), (2, _timestamp(self._now))]
        fields.append((kind, message(*body)))
        if router and self._dapr:
            fields.append((ROUTER, self._router))
        self._turn.append(message(*fields))

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def _timestamp(nanoseconds: int) -> bytes:
    return message((1, nanoseconds // 1_000_000_000), (2, nanoseconds % 1_000_000_000))


def _execution_id(action: int) -> str:
    """As long as the real ones, which nobody who replays looks at."""
    return f"{action:08x}-7326-54cc-ae86-{action * 0x9E3779B1 & 0xFFFFFFFFFFFF:012x}"
