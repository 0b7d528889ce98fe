"""The event loop that runs `async def` activities: one thread, any number of them at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class ActivityLoop:
    """An event loop on a daemon thread of its own, started at first use."""

    def __init__(self, name: str):
        """`name` is the thread's."""
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def run(
        self, make: Callable[[], Awaitable[Any]], ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        """Await what `make` returns, on the loop; then call `ended` with result and exception.

        `ended` is not to block.
        """
        self._started().call_soon_threadsafe(self._begin, make, ended)

    def close(self, timeout: float) -> bool:
        """Cancel what runs and end the thread; False if it lives on after `timeout` seconds."""
        with self._lock:
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return True
        loop.call_soon_threadsafe(self._cancel_all)
        if thread is threading.current_thread():
            return False
        thread.join(timeout)
        return not thread.is_alive()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
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

    def _begin(
        self, make: Callable[[], Awaitable[Any]], ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._await(make, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(
        self, make: Callable[[], Awaitable[Any]], ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        try:
            result = await make()
        except BaseException as error:
            ended(None, error)
        else:
            ended(result, None)

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        asyncio.get_running_loop().stop()

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
