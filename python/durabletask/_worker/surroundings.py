"""What activities begin with: the context variables of `start()`, with nothing in them that they would share."""

from __future__ import annotations

import contextvars
import sys
from typing import Any


class Surroundings:
    """Makes the context of each activity, as the engine does for executions."""

    def __init__(self, context: contextvars.Context):
        """`context` is copied as it is now."""
        self._base = context.copy()
        # Unlike other values, decimal contexts are changed in place (`getcontext().prec = 4`): a copy of the variables
        # alone would share the one of whoever started the worker. Nobody has any before `decimal` is imported.
        decimal = sys.modules.get("decimal")
        kinds: Any = () if decimal is None else decimal.Context
        self._decimals = [
            (variable, value.copy())
            for variable, value in context.items()
            if isinstance(value, kinds)
        ]

    def fresh(self) -> contextvars.Context:
        """The context of an activity that begins."""
        context = self._base.copy()
        for variable, value in self._decimals:
            context.run(variable.set, value.copy())
        return context
