"""Exceptions as the protocol reports them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from durabletask import _core
from durabletask._failures import NonRetryableError

# Where frames of the worker itself come from; they say nothing about the user's code.
_OWN_CODE = str(Path(__file__).parent)

# Causes of causes; a chain longer than this has said enough.
_LONGEST_CHAIN = 16


def failure_chain(error: BaseException) -> list[_core.FailureLink]:
    """An exception and its causes, the outermost first."""
    chain: list[_core.FailureLink] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < _LONGEST_CHAIN:
        seen.add(id(current))
        chain.append(
            (
                type(current).__name__,
                _encodable(_message(current)),
                _encodable(_stack_trace(current)),
                isinstance(current, NonRetryableError),
            )
        )
        current = current.__cause__ or next(iter(_contents(current)), None)
    return chain


def _contents(error: BaseException) -> Sequence[BaseException]:
    """What is in an exception group, which Python 3.10 only has from a package."""
    inside = getattr(error, "exceptions", None)
    if not hasattr(error, "derive") or not isinstance(inside, tuple):
        return ()
    return [each for each in inside if isinstance(each, BaseException)]


def _stack_trace(error: BaseException) -> str:
    """The frames of the user's code; below them, what is in a group, since only the first is told of by itself."""
    frames = "".join(traceback.format_tb(_of_user(error.__traceback__)))
    inside = _contents(error)
    if not inside:
        return frames
    count = len(inside)
    return frames + "".join(
        f"exception {index} of {count} in it:\n{''.join(traceback.format_exception(each))}"
        for index, each in enumerate(inside[:_LONGEST_CHAIN], 1)
    )


def _of_user(frames: TracebackType | None) -> TracebackType | None:
    """The stack from where it leaves the worker; all of it, if it does not."""
    inner = frames
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        inner = inner.tb_next
    return inner or frames


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<str() of the exception raised {type(broken).__name__}>"


def _encodable(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
