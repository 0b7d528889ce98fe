"""Turns that keep their thread for long, told of while they last: one that hangs has no end at which to say so."""

from __future__ import annotations

import logging
import sys
import sysconfig
import threading
import time
from pathlib import Path
from types import FrameType

from durabletask._source_lines import describe

# Seconds after which a turn in progress is told of, as one is that has ended after so long.
LONG_TURN = 2.0

_OWN = str(Path(__file__).parent.parent)
# The package's own frame that everything a turn runs is above of.
_BELOW = str(Path(__file__).parent / "dispatcher.py")
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_SITE_PACKAGES = ("site-packages", "dist-packages")


class _Turn:
    __slots__ = ("began", "instance_id", "told")

    def __init__(self, instance_id: str):
        self.instance_id = instance_id
        self.began = time.monotonic()
        self.told = False


class LongTurns:
    """Knows which thread is in which turn. Each turn that lasts is told of once."""

    def __init__(self, logger: logging.Logger):
        self._logger = logger
        self._turns: dict[int, _Turn] = {}

    def begin(self, instance_id: str) -> None:
        """The calling thread begins a turn."""
        self._turns[threading.get_ident()] = _Turn(instance_id)

    def end(self) -> None:
        """The calling thread has ended its turn."""
        self._turns.pop(threading.get_ident(), None)

    def look(self) -> None:
        """Tell of the turns that have taken too long by now. Called now and then, by one thread."""
        now = time.monotonic()
        for thread, turn in list(self._turns.items()):
            if turn.told or now - turn.began < LONG_TURN:
                continue
            turn.told = True
            place = _place(sys._current_frames().get(thread))
            if self._turns.get(thread) is not turn:
                continue  # ended meanwhile, and told of as such
            self._logger.warning(
                "%s: a turn has taken %.1f s and is not over; its thread runs nothing else meanwhile. Whatever takes "
                "long, or waits for something else than tasks, belongs in an activity.%s",
                turn.instance_id,
                now - turn.began,
                f" It is at {place}" if place else "",
                extra={"instance_id": turn.instance_id},
            )


def _place(frame: FrameType | None) -> str | None:
    """The line of the user's code that a thread is at, or has called the standard library from."""
    found: FrameType | None = None
    while frame is not None and frame.f_code.co_filename != _BELOW:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN):
            if not _is_standard(file):
                found = frame
                break
            found = found or frame
        frame = frame.f_back
    if found is None:
        return None
    return describe(found.f_code.co_filename, found.f_lineno, found.f_code.co_name)


def _is_standard(file: str) -> bool:
    if file.startswith("<frozen "):
        return True
    return file.startswith(_STANDARD_LIBRARY) and not any(part in file for part in _SITE_PACKAGES)
