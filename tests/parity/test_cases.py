"""Every case that differed once is equal now, or deviates as listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parity.cases import load, saved_cases
from parity.play import play
from parity.reference import Reference


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference() as reference:
        yield reference


@pytest.mark.parametrize("path", saved_cases(), ids=lambda path: path.stem)
def test_a_saved_case_is_answered_as_by_the_reference(reference: Reference, path: Path) -> None:
    difference = play(reference, load(path)).difference
    assert difference is None, f"{path.name}: {difference}"
