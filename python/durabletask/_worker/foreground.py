"""A worker in the foreground: until a signal comes, or somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from durabletask._worker import process

if TYPE_CHECKING:
    from durabletask.worker import TaskHubGrpcWorker


def run(worker: TaskHubGrpcWorker) -> int:
    """What `TaskHubGrpcWorker.run` does."""
    wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
    with _until(worker, lambda: wakes.put(None)) as say:
        current = worker._begin()
        try:
            process.wait_for(wakes)
        finally:
            say()
            ended = worker._end(current)
    return 0 if ended else 1


async def serve(worker: TaskHubGrpcWorker) -> int:
    """What `TaskHubGrpcWorker.serve` does."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    with _until(worker, lambda: loop.call_soon_threadsafe(woken.set), shared=True) as say:
        current = worker._begin()
        try:
            await _wait_for(woken)
        finally:
            say()
            # Activities may run on this very loop, which therefore goes on.
            ended = await asyncio.shield(asyncio.to_thread(worker._end, current))
    return 0 if ended else 1


async def _wait_for(woken: asyncio.Event) -> None:
    """Wait, and have the loop look up now and then: a signal that comes just before it waits does not wake it."""
    loop = asyncio.get_running_loop()
    tick: asyncio.TimerHandle

    def look_up() -> None:
        nonlocal tick
        tick = loop.call_later(process.LOOK_UP, look_up)

    look_up()
    try:
        await woken.wait()
    finally:
        tick.cancel()


@contextlib.contextmanager
def _until(
    worker: TaskHubGrpcWorker, wake: Callable[[], object], *, shared: bool = False
) -> Iterator[Callable[[], None]]:
    """Have `wake` called by the first signal, and when the worker has been stopped; a second signal ends the process.

    `shared`: a server in the same event loop (uvicorn) hears of signals, too, through the handlers that it has set.
    Yields what says in the log that a signal came, if one did.
    """
    signals: list[int] = []

    def on_signal(signum: int) -> None:
        if signals:
            process.die(signum)
        signals.append(signum)
        process.ended_by(signum)
        wake()

    def say() -> None:
        if signals:
            worker._logger.info(
                "%s: stopping when what runs has ended, after %g seconds at most; once more to stop at once.",
                signal.Signals(signals[0]).name,
                worker._settings.stop_timeout,
            )

    with process.stop_signals(on_signal, shared=shared):
        worker._watchers.append(wake)
        try:
            yield say
        finally:
            worker._watchers.remove(wake)
