"""The event loop that runs `async def` activities: one thread, any number of them at once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

# What makes an awaitable, what is told of its end, and the context to run it in.
_Due = tuple[
    Callable[[], Awaitable[Any]],
    Callable[[Any, BaseException | None], None],
    contextvars.Context,
]


class CutOff(Exception):
    """An activity has not come to its end: its task was cancelled from outside, as when a loop ends."""


class _Task(asyncio.Task[None]):
    """The task of an activity, which tells its own cancellation from that by others.

    `asyncio.run` cancels all tasks at its end, and so do many programs by themselves. An activity whose code cancels
    what it waits for, or itself, fails by that; time limits do it, too, and take it back.
    """

    by_others = False

    def cancel(self, msg: Any | None = None) -> bool:
        try:
            self.by_others |= asyncio.current_task() is not self
        except RuntimeError:  # another thread
            self.by_others = True
        return super().cancel(msg)


class ActivityLoop:
    """An event loop on a daemon thread of its own, started at first use; or the program's own loop."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None):
        """`name` is the thread's; `loop` runs elsewhere, and goes on when this is closed."""
        self._name = name
        self._given = loop
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: list[_Due] = []
        self._due_lock = threading.Lock()

    def run(
        self,
        make: Callable[[], Awaitable[Any]],
        ended: Callable[[Any, BaseException | None], None],
        context: contextvars.Context,
    ) -> None:
        """Await what `make` returns, on the loop, in a copy of a context; then call `ended` with result and exception.

        The exception is a `CutOff` where the activity was kept from coming to an end. `ended` is not to block.

        Raises:
            RuntimeError: The program's loop is closed.
        """
        loop = self._started()
        with self._due_lock:
            # Waking the loop costs as much as all else here: those that come while it wakes begin with the first.
            if not self._due:
                loop.call_soon_threadsafe(self._begin_due)
            self._due.append((make, ended, context))

    def start(self) -> None:
        """Start the thread now."""
        self._started()

    def is_current(self) -> bool:
        """Whether this is called on the program's own loop, which runs nothing as long as it is kept here."""
        try:
            return self._given is not None and asyncio.get_running_loop() is self._given
        except RuntimeError:
            return False

    def is_in_activity(self) -> bool:
        """Whether this is called by something that runs here."""
        try:
            return asyncio.current_task() in self._tasks
        except RuntimeError:
            return False

    def close(self, timeout: float) -> bool:
        """Cancel what runs and end the thread; False if something lives on after `timeout` seconds."""
        if self._given is not None:
            return self._leave(self._given, timeout)
        with self._lock:
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return True
        try:
            loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # closed meanwhile
            return True
        if thread is threading.current_thread():
            return False
        thread.join(timeout)
        return not thread.is_alive()

    def _leave(self, loop: asyncio.AbstractEventLoop, timeout: float) -> bool:
        """Cancel what runs on the program's loop, and wait for it to end there."""
        if self.is_current():
            self._cancel_all()
            return not self._tasks
        try:
            loop.call_soon_threadsafe(self._cancel_all)
        except RuntimeError:  # closed: nothing runs on it
            return True
        deadline = time.monotonic() + timeout
        while self._tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._tasks

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._given is not None:
            return self._given
        loop = self._loop
        if loop is not None:
            return loop
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
                self._loop = loop
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(self._drain())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _begin_due(self) -> None:
        with self._due_lock:
            due, self._due = self._due, []
        for make, ended, context in due:
            try:
                self._begin(make, ended, context)
            except Exception as error:  # of the program's own loop: the others are to begin, too
                ended(None, error)

    def _begin(
        self,
        make: Callable[[], Awaitable[Any]],
        ended: Callable[[Any, BaseException | None], None],
        context: contextvars.Context,
    ) -> None:
        # A task takes a copy of the context in which it is made. The context itself is not entered: another thread may
        # be in it.
        loop = asyncio.get_running_loop()
        # A program that makes the tasks of its loop itself makes these, too.
        create = partial(_Task, loop=loop) if loop.get_task_factory() is None else loop.create_task
        task = context.copy().run(create, self._await(make, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(
        self, make: Callable[[], Awaitable[Any]], ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        try:
            result = await make()
        except asyncio.CancelledError as error:
            ended(None, _cut_off(error) or error)
        except BaseException as error:
            ended(None, error)
        else:
            ended(result, None)

    def _stop(self) -> None:
        self._cancel_all()
        asyncio.get_running_loop().stop()

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)


def _cut_off(error: asyncio.CancelledError) -> CutOff | None:
    """What tells that the current task was cancelled by others, if it was and has not got over it."""
    task = asyncio.current_task()
    assert task is not None
    by_others = getattr(task, "by_others", True)
    # Since Python 3.11, tasks know whether a cancellation was taken back.
    if sys.version_info >= (3, 11):
        by_others = by_others and task.cancelling() > 0
    elif not isinstance(task, _Task):
        by_others = False
    if not by_others:
        return None
    cut_off = CutOff("cancelled from outside")
    cut_off.__cause__ = error
    return cut_off
