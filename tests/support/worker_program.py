"""A program with a worker, as a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item

SOON = 20.0

BEGINNING = """
import asyncio, logging, os, signal, sys, threading, time
from durabletask.worker import TaskHubGrpcWorker

# Ctrl-C, whatever the shell or the test runner has made of it.
signal.signal(signal.SIGINT, signal.default_int_handler)
worker = TaskHubGrpcWorker(host_address=sys.argv[1], stop_timeout=15)

@worker.activity
def echo(ctx, value):
    return value

@worker.activity
def slow(ctx, value):
    print("slow began", flush=True)
    time.sleep(value)
    return "slow ended"

def say_when_sigterm_is_taken():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.005)
    print("SIGTERM is taken", flush=True)
"""


class Program:
    """A program with a worker, and the sidecar that it works for."""

    def __init__(self, ending: str) -> None:
        self.sidecar = FakeSidecar()
        self.sidecar.start()
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGINNING + ending, self.sidecar.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def echoes(self) -> None:
        self.sidecar.send(activity_item("echo", "7"))
        _, response = self.sidecar.completion()
        assert wire.string(response, 3, 1) == "7"

    def begin_slow(self, seconds: float, task_id: int = 2) -> None:
        self.sidecar.send(activity_item("slow", str(seconds), task_id=task_id))
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "slow began\n"

    def says(self, text: str) -> None:
        """Read what it prints up to a line with this text."""
        assert self.process.stdout is not None
        printed: list[str] = []
        while text not in (line := self.process.stdout.readline()):
            assert line, f"it has ended without saying {text!r}, but {printed}"
            printed.append(line)

    def ends(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=SOON)
        return self.process.returncode, errors

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.sidecar.stop()


@contextlib.contextmanager
def program(ending: str) -> Iterator[Program]:
    started = Program(ending)
    try:
        yield started
    finally:
        started.close()
