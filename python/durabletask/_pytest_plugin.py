"""The pytest plugin: the fixture `durabletask_environment`. It imports the rest of the package when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from durabletask.testing import Environment


@pytest.fixture
def durabletask_environment() -> Iterator[Callable[..., Environment]]:
    """Makes environments: called as `durabletask.testing.Environment` is, and closes them after the test."""
    from durabletask.testing import Environment

    with ExitStack() as made:

        def make(*args: Any, **options: Any) -> Environment:
            return made.enter_context(Environment(*args, **options))

        yield make
