"""Where log lines go: to standard error, until the program says otherwise."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    _TextHandler = logging.StreamHandler[TextIO]
else:
    _TextHandler = logging.StreamHandler  # takes no parameter before Python 3.11


class _LastHandler(_TextHandler):
    """Writes lines that would get lost, to what `sys.stderr` is at that moment.

    It looks at each line whether somebody else has it: programs set logging up before the first worker or after it.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handle(self, record: logging.LogRecord) -> bool:
        others = handlers_of(logging.getLogger(record.name))
        if any(not isinstance(other, _LastHandler) for other in others):
            return False
        return bool(super().handle(record))


def handlers_of(logger: logging.Logger) -> Iterator[logging.Handler]:
    """The handlers that a logger's lines come to, its ancestors' among them."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def get_logger(
    name_suffix: str,
    log_handler: logging.Handler | None = None,
    log_formatter: logging.Formatter | None = None,
) -> logging.Logger:
    """The logger `durabletask.<name_suffix>`.

    Its lines go to `log_handler`, if one is given, and to what the program has set up for this logger or one above it.
    If there is neither, they go to standard error, with time, name and level.

    Args:
        name_suffix: "client", "worker" or "replay".
        log_handler: Added, unless lines come to it already.
        log_formatter: Set on that handler, or on the one that writes to standard error; None: `log_handler` keeps
            its own, if it has one.
    """
    logger = _joined(name_suffix)
    handler = log_handler
    if handler is None:
        handler = next((each for each in logger.handlers if isinstance(each, _LastHandler)), None)
        handler = _LastHandler() if handler is None else handler
    if handler not in handlers_of(logger):
        logger.addHandler(handler)
    if log_formatter is not None:
        handler.setFormatter(log_formatter)
    elif handler.formatter is None:
        handler.setFormatter(
            logging.Formatter(
                fmt="%(asctime)s.%(msecs)03d %(name)s %(levelname)s: %(message)s",
                datefmt="%Y-%m-%d %H:%M:%S",
            )
        )
    return logger


def _joined(name_suffix: str) -> logging.Logger:
    """The logger, below the one that 0.17 calls `durabletask-<name_suffix>`.

    So levels and handlers that programs give to that name go on counting.
    """
    top = logging.getLogger("durabletask")
    old = logging.getLogger(f"durabletask-{name_suffix}")
    logger = logging.getLogger(f"durabletask.{name_suffix}")
    if logger.parent is not old:
        old.parent = top
        logger.parent = old
    return logger


class GuardedLogger(logging.Logger):
    """Passes everything on to another logger; what that raises goes to standard error.

    Handlers catch errors of their own; filters, and handlers that override `handle`, do not. A turn or an activity
    that has done its work, or a call of a client, must not fail for a line about it.
    """

    def __init__(self, inner: logging.Logger):
        """`inner` decides on levels, filters and handlers."""
        super().__init__(inner.name)
        self._inner = inner

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Whether the other logger wants lines of a level."""
        return self._inner.isEnabledFor(level)

    def makeRecord(  # noqa: N802 - the name is logging's
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        """Make a record; of fields that the program's own record factory has set, the program's stay."""
        record = super().makeRecord(name, level, fn, lno, msg, args, exc_info, func, None, sinfo)
        for field, value in (extra or {}).items():
            record.__dict__.setdefault(field, value)
        return record

    def handle(self, record: logging.LogRecord) -> None:
        """Hand a record to the other logger."""
        try:
            self._inner.handle(record)
        except Exception:
            with contextlib.suppress(Exception):  # exceptions that can not even be printed
                _REPORTER.handleError(record)


# Says what went wrong, and with which line, as `logging` does for its own handlers, if it is to (`raiseExceptions`).
_REPORTER = logging.NullHandler()
