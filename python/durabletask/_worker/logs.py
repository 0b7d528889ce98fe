"""The worker's logger: what a filter or a handler of the program raises never reaches the work."""

from __future__ import annotations

import contextlib
import logging


class GuardedLogger(logging.Logger):
    """Passes everything on to another logger; what that raises goes to standard error.

    Handlers catch errors of their own; filters, and handlers that override `handle`, do not. A turn or an activity
    that has done its work must not fail for a line about it.
    """

    def __init__(self, inner: logging.Logger):
        """`inner` decides on levels, filters and handlers."""
        super().__init__(inner.name)
        self._inner = inner

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Whether the other logger wants lines of a level."""
        return self._inner.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        """Hand a record to the other logger."""
        try:
            self._inner.handle(record)
        except Exception:
            with contextlib.suppress(Exception):  # exceptions that can not even be printed
                _REPORTER.handleError(record)


# Says what went wrong, and with which line, as `logging` does for its own handlers, if it is to (`raiseExceptions`).
_REPORTER = logging.NullHandler()
