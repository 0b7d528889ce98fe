"""Admission of work items: how many run at once, and how much waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

# What a parked item costs beside its bytes, roughly: objects and queue slots.
_OVERHEAD = 1024

# Seconds for which a reader that is held back does other things at a time.
_PAUSE = 0.1

# Seconds after which a wait that signals are to interrupt looks up.
_LOOK_UP = 0.5


class Lane(Generic[Item]):
    """Items of one kind: `limit` of them run at once, the others are parked in order."""

    def __init__(self, limit: int, start: Callable[[Item], None]):
        """`start` begins an item without blocking; whoever ends it calls `Intake.done`, `start` itself, too."""
        self.limit = limit
        self.start = start
        self.running = 0
        self.parked: deque[tuple[Item, int]] = deque()


class _Starting(threading.local):
    """The lanes of what has ended on this thread while it was being started; None when nothing is."""

    ended: list[Lane[Any]] | None = None


class Intake:
    """Lets items into their lanes, and holds the reader back when too much is parked.

    A lane that is full does not hold back the other: an activity may wait for an orchestration, and
    the other way round. Only when `parked_bytes_limit` is reached does `admit` block, and with it
    the stream from the sidecar.
    """

    def __init__(self, parked_bytes_limit: int):
        self._parked_bytes_limit = parked_bytes_limit
        self._parked_bytes = 0
        self._lanes: list[Lane[Any]] = []
        # A lock that its owner may take again, for the sake of signal handlers; entered without the
        # condition, since that costs several times as much.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._closed = False
        self._starting = _Starting()

    def add_lane(self, limit: int, start: Callable[[Item], None]) -> Lane[Item]:
        """Make a lane; before the first item comes."""
        lane = Lane(limit, start)
        self._lanes.append(lane)
        return lane

    def admit(
        self,
        lane: Lane[Item],
        item: Item,
        size: int,
        pause: Callable[[float], bool] = lambda _: False,
    ) -> bool:
        """Start an item or park it; blocks while too much is parked. False: closed, dropped.

        Meanwhile `pause(seconds)` is called without the lock: it does what may end items, or returns False at once if
        that is up to other threads.
        """
        with self._lock:
            if lane.running >= lane.limit:
                size += _OVERHEAD
                while self._is_to_wait(lane, size):
                    self._lock.release()
                    try:
                        paused = pause(_PAUSE)
                    finally:
                        self._lock.acquire()
                    if not paused:
                        self._wait_until(lambda: not self._is_to_wait(lane, size))
            if self._closed:
                return False
            if lane.running >= lane.limit:
                lane.parked.append((item, size))
                self._parked_bytes += size
                return True
            lane.running += 1
        self._start(lane, item)
        return True

    def done(self, lane: Lane[Item]) -> None:
        """An item of the lane has ended: the next one starts."""
        ended = self._starting.ended
        if (
            ended is not None
        ):  # on this thread, while it was being started: `_start` goes on from there
            ended.append(lane)
        else:
            self._start_next([lane])

    def _start(self, lane: Lane[Item], item: Item) -> None:
        ended: list[Lane[Any]] = []
        self._starting.ended = ended
        try:
            lane.start(item)
        finally:
            self._start_next(ended)

    def _start_next(self, ended: list[Lane[Any]]) -> None:
        """Start what is next where items have ended, and what is next where those have ended in their very start.

        In a loop: they may be thousands, activities that are not registered here.
        """
        self._starting.ended = ended
        try:
            while ended:
                lane = ended.pop()
                item = self._next(lane)
                if item is not None:
                    lane.start(item)
        finally:
            self._starting.ended = None

    def _next(self, lane: Lane[Item]) -> Item | None:
        """An item has ended: takes the next from those that are parked, if there is one."""
        with self._lock:
            if self._waiting:
                self._changed.notify_all()
            if not lane.parked:
                lane.running -= 1
                return None
            item, size = lane.parked.popleft()
            self._parked_bytes -= size
            return item

    def drop_parked(self) -> int:
        """Forget what is parked, and say how much that was: the sidecar sends it again."""
        with self._lock:
            dropped = sum(len(lane.parked) for lane in self._lanes)
            for lane in self._lanes:
                lane.parked.clear()
            self._parked_bytes = 0
            self._changed.notify_all()
        return dropped

    def close(self) -> int:
        """Admit nothing more and forget what is parked, saying how much; what runs goes on."""
        with self._lock:
            self._closed = True
        return self.drop_parked()

    def wait_idle(self, timeout: float) -> int:
        """Wait until nothing runs, `timeout` seconds at most; returns how many still run."""
        deadline = time.monotonic() + timeout
        with self._lock:
            # A signal that comes just before a wait does not end it, and its handler is to run soon.
            while self._running() > 0 and (left := deadline - time.monotonic()) > 0:
                self._wait_until(lambda: self._running() == 0, min(left, _LOOK_UP))
            return self._running()

    @property
    def has_parked(self) -> bool:
        """Whether items wait for others to end."""
        return self._parked_bytes > 0

    def _is_to_wait(self, lane: Lane[Any], size: int) -> bool:
        return not self._closed and lane.running >= lane.limit and self._full(size)

    def _wait_until(self, reached: Callable[[], bool], timeout: float | None = None) -> None:
        self._waiting += 1
        try:
            self._changed.wait_for(reached, timeout)
        finally:
            self._waiting -= 1

    def _running(self) -> int:
        return sum(lane.running for lane in self._lanes)

    def _full(self, size: int) -> bool:
        # One item always fits, however large: it would never get smaller.
        return self._parked_bytes > 0 and self._parked_bytes + size > self._parked_bytes_limit
