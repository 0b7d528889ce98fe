"""A logger for orchestrators: what they log is logged once, not once for every replay."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[Any]
else:
    _LoggerAdapter = logging.LoggerAdapter


class Replaying(Protocol):
    """Whatever knows whether it replays: an orchestration context."""

    @property
    def is_replaying(self) -> bool:
        """Whether what happens now has happened before."""


class ReplaySafeLogger(_LoggerAdapter):
    """Hands everything on to another logger, except while an orchestrator is replayed."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[Any], context: Replaying):
        super().__init__(logger, {})
        self._context = context

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Whether a message of this level is logged now: never while replaying."""
        return not self._context.is_replaying and super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave the message as it is, `extra` included, which adapters otherwise replace."""
        return msg, kwargs
