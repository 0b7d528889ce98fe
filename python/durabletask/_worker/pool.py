"""Daemon threads for work that blocks: user code that is no coroutine, and calls."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

_Job = Callable[[], None]


class ThreadPool:
    """Runs jobs on up to `size` threads, which are started when they are needed.

    Unlike `concurrent.futures`, its threads do not keep the interpreter from exiting, and a job is
    a plain call.
    """

    def __init__(self, name: str, size: int, logger: logging.Logger):
        """Threads are called `<name>-1` and so on."""
        self._name = name
        self._size = size
        self._logger = logger
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # A mark for each thread that waits and is not spoken for. A deque is a semaphore that never
        # blocks, at a fraction of the cost.
        self._idle: deque[None] = deque()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, job: _Job) -> None:
        """Run `job` soon; never, once the pool is closed. It is not to raise: if it does, the log says so."""
        self._jobs.put(job)
        try:
            self._idle.pop()
        except IndexError:
            self._grow()

    @property
    def waiting(self) -> int:
        """Jobs that no thread has begun."""
        return self._jobs.qsize()

    def start_all(self) -> None:
        """Start all threads now."""
        for _ in range(self._size):
            self._grow()

    def _grow(self) -> None:
        with self._lock:
            # A thread that is started after `close` would find nobody to end it.
            if len(self._threads) < self._size and not self._closed:
                name = f"{self._name}-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Let each thread end after its job; jobs not yet begun may be left undone."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)

    def has_this_thread(self) -> bool:
        """Whether it is called by a job."""
        return threading.current_thread() in self._threads

    def join(self, timeout: float) -> bool:
        """Wait for the threads to end, `timeout` seconds at most for all of them; False if one has not."""
        deadline = time.monotonic() + timeout
        current = threading.current_thread()
        for thread in self._threads:
            if thread is not current:
                thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads if thread is not current)

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                self._idle.append(None)
                job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except BaseException:
                self._logger.exception("A job of the worker failed in a way that nobody expected")
            del job  # a parked thread must not keep the last payload alive
