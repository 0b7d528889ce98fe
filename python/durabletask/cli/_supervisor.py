"""Keeps processes running: starts again what dies, and all of them when files change."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from durabletask._worker import process as signals
from durabletask._worker.signals import die

# Pauses before a process that has died is started again, in seconds; from the shortest again after one that lived long.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LONG_LIFE = 10.0
_TICK = 0.1
# How often, in seconds, files are looked at.
_LOOK = 0.5
# What a process ends with that can never work: what it is to run is not there.
_HOPELESS = 2
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist", "target"}


class _Slot:
    """One of the processes that are to run, and its successors."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.start_at = 0.0
        self.pause = _FIRST_PAUSE


class Supervisor:
    """Runs a command in several processes, which end when their standard input does."""

    def __init__(self, command: list[str], processes: int, *, watches: bool):
        """`watches`: start anew when a Python file in or under the current directory changes."""
        self._command = command
        self._slots = [_Slot() for _ in range(processes)]
        self._watches = watches
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._signalled = False

    def run(self) -> int:
        """Run until SIGINT or SIGTERM, then let the processes end; the exit code: the highest of theirs."""
        with signals.stop_signals(self._on_signal):
            seen = dict(_files()) if self._watches else {}
            look_at = time.monotonic() + _LOOK
            while not self._wait(_TICK):
                for slot in self._slots:
                    if not self._tend(slot):
                        self._stop()
                        return _HOPELESS
                if self._watches and time.monotonic() >= look_at:
                    now = dict(_files())
                    if now != seen:
                        self._reload(seen, now)
                        seen = now
                    look_at = time.monotonic() + _LOOK
            _say("stopping when what runs has ended; once more to stop at once")
            return self._stop()

    def _on_signal(self, signum: int) -> None:
        if self._signalled:
            for slot in self._slots:
                if slot.process is not None:
                    slot.process.kill()
            die(signum)
        self._signalled = True
        self._signals.put(signum)

    def _wait(self, seconds: float) -> bool:
        """Wait; True if a signal came."""
        try:
            self._signals.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _tend(self, slot: _Slot) -> bool:
        """Start a process that is not running, when it is time; False if there is no hope for it."""
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.start_at:
                self._start(slot)
            return True
        code = slot.process.poll()
        if code is None:
            return True
        self._close(slot)
        if code == _HOPELESS and not self._watches:
            return False
        if now - slot.started > _LONG_LIFE:
            slot.pause = _FIRST_PAUSE
        _say(
            f"a worker process has ended ({_cause(code)}); the next one starts in {slot.pause:g} s"
        )
        slot.start_at = now + slot.pause
        slot.pause = min(2 * slot.pause, _LONGEST_PAUSE)
        return True

    def _start(self, slot: _Slot) -> None:
        # In a group of its own: Ctrl-C in a terminal goes to all of a group, and would be the second signal.
        own_group: dict[str, bool | int] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        slot.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, **own_group)  # type: ignore[call-overload,unused-ignore]
        slot.started = time.monotonic()

    def _stop(self) -> int:
        """Let all processes end; the highest exit code."""
        for slot in self._slots:
            if slot.process is not None and slot.process.stdin is not None:
                slot.process.stdin.close()
        codes = [0]
        for slot in self._slots:
            if slot.process is not None:
                code = slot.process.wait()
                codes.append(code if code >= 0 else 1)
                self._close(slot)
        return max(codes)

    def _reload(self, seen: dict[str, int], now: dict[str, int]) -> None:
        changed = sorted(dict(seen.items() ^ now.items()))
        _say(f"{os.path.relpath(changed[0])} has changed: starting anew")
        self._stop()
        for slot in self._slots:
            slot.start_at, slot.pause = 0.0, _FIRST_PAUSE

    def _close(self, slot: _Slot) -> None:
        if slot.process is not None and slot.process.stdin is not None:
            slot.process.stdin.close()
        slot.process = None


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _files() -> Iterator[tuple[str, int]]:
    """The Python files in and under the current directory, with the times of their last changes."""
    for directory, directories, files in os.walk(Path.cwd()):
        directories[:] = [
            each for each in directories if each not in _SKIPPED and not each.startswith(".")
        ]
        for file in files:
            if file.endswith(".py"):
                path = Path(directory, file)
                try:
                    yield str(path), path.stat().st_mtime_ns
                except OSError:
                    continue


def _say(text: str) -> None:
    print(f"durabletask worker: {text}", file=sys.stderr, flush=True)  # noqa: T201
