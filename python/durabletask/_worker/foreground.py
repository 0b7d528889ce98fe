"""A worker in the foreground: until a signal comes, or somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from durabletask._worker import process, signals

if TYPE_CHECKING:
    from durabletask.worker import TaskHubGrpcWorker

T = TypeVar("T")

# How long, in seconds, an application goes on after a signal that was meant for it, too: it has no handler of its own,
# and what ran beside the worker may end with it.
PATIENCE = 2.0


def run(worker: TaskHubGrpcWorker) -> int:
    """What `TaskHubGrpcWorker.run` does."""
    wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
    with _until(worker, lambda: wakes.put(None)) as came:
        current = worker._begin()
        try:
            process.wait_for(wakes)
        finally:
            _say(worker, came)
            ended = worker._end(current)
    return 0 if ended else 1


async def serve(worker: TaskHubGrpcWorker) -> int:
    """What `TaskHubGrpcWorker.serve` does."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    with _until(worker, lambda: loop.call_soon_threadsafe(woken.set)) as came:
        current = worker._begin()
        try:
            await _wait_for(woken)
        finally:
            _say(worker, came)
            # Activities may run on this very loop, which therefore goes on.
            ended = await _to_its_end(on_a_thread(lambda: worker._end(current)))
            if came and not _is_main(asyncio.current_task()):
                loop.call_later(PATIENCE, _hand_on, came[0], worker)
    return 0 if ended else 1


async def _to_its_end(done: asyncio.Future[T]) -> T:
    """Await something, and be cancelled only afterwards, as by an application that ends by the same signal."""
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return done.result()


def on_a_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Call something that blocks, on a thread of its own: those of the loop's executor may all be taken."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="durabletask-stop", daemon=True).start()
    return done


async def _wait_for(woken: asyncio.Event) -> None:
    """Wait, and have the loop look up now and then.

    A signal that comes just before it waits does not wake it, and an application may have set its own handlers.
    """
    loop = asyncio.get_running_loop()
    tick: asyncio.TimerHandle

    def look_up() -> None:
        nonlocal tick
        signals.take()
        tick = loop.call_later(process.LOOK_UP, look_up)

    look_up()
    try:
        await woken.wait()
    finally:
        tick.cancel()


@contextlib.contextmanager
def _until(worker: TaskHubGrpcWorker, wake: Callable[[], object]) -> Iterator[list[int]]:
    """Have `wake` called by the first signal, and when the worker has been stopped; a second signal ends the process.

    Yields the signals that came.
    """
    came: list[int] = []

    def told(signum: int) -> None:
        came.append(signum)
        process.ended_by(signum)
        wake()

    with process.listening(told):
        worker._watchers.append(wake)
        try:
            yield came
        finally:
            worker._watchers.remove(wake)


def _say(worker: TaskHubGrpcWorker, came: list[int]) -> None:
    if came:
        worker._logger.info(
            "%s: stopping when what runs has ended, after %g seconds at most; once more to stop at once.",
            signal.Signals(came[0]).name,
            worker._settings.stop_timeout,
        )


# The application's part of a signal


def _is_main(task: asyncio.Task[object] | None) -> bool:
    """Whether the loop runs until this task has ended, so that whatever comes now is what the program wants."""
    callbacks = getattr(task, "_callbacks", None) or ()
    return any(
        getattr(callback[0], "__name__", "") == "_run_until_complete_cb" for callback in callbacks
    )


def _hand_on(signum: int, worker: TaskHubGrpcWorker) -> None:
    """The workers have ended, but what the loop runs beside them goes on: it is told as if there had been no worker."""
    handler = signal.getsignal(signum)
    if signals.are_listened_to() or signals.is_of_program(handler):
        return  # workers that have not ended yet, or an application that knows of it
    worker._logger.info(
        "%s: the worker has ended, and now the program does.", signal.Signals(signum).name
    )
    if handler is signal.SIG_DFL or not callable(handler):
        raise SystemExit(0)
    if getattr(handler, "of_worker", False):
        raise SystemExit(0)
    handler(signum, None)
