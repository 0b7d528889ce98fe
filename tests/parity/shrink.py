"""Makes a case that differs small: leaves out what the difference does not need.

Every attempt is played on both engines; what still differs, and at a mode and in a way that no listed
deviation explains, is kept.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

from parity.play import Case, Difference, Play, play
from parity.reference import Reference

TIME_LIMIT = 60.0
"""Seconds; what is smallest then is good enough."""

Place = tuple[Any, ...]


def shrink(reference: Reference, case: Case) -> tuple[Case, Difference]:
    """The smallest case found, and how it differs."""
    deadline = time.monotonic() + TIME_LIMIT
    best = _differs(reference, case)
    assert best is not None, "the case does not differ when it is played again"
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for smaller in list(attempts(best.case)):
            if time.monotonic() > deadline:
                break
            found = _differs(reference, smaller)
            if found is not None:
                best, progress = found, True
                break
    assert best.difference is not None
    return best.case, best.difference


def _differs(reference: Reference, case: Case) -> Play | None:
    case = copy.deepcopy(case)
    try:
        played = play(reference, case)
    except (LookupError, TypeError, ValueError, AttributeError):
        # What was cut out makes no case.
        return None
    if played.difference is None:
        return None
    del case["turns"][played.difference.turn + 1 :]
    return played


def attempts(case: Case) -> Iterator[Case]:
    """Cases a little smaller, the bold cuts first."""
    if len(case["programs"]) > 1:
        for turn in list(case["programs"])[1:]:
            smaller = copy.deepcopy(case)
            del smaller["programs"][turn]
            yield smaller
    places = sorted(_places(case, ()), key=lambda place: (len(place), place and str(place[-1])))
    for place in places:
        found = _at(case, place)
        if isinstance(found, list):
            for size in (len(found), len(found) // 2, 1):
                for start in range(0, len(found), size) if size > 0 else ():
                    if size < len(found) or place[0] == "programs":
                        yield _replaced(case, place, found[:start] + found[start + size :])
        elif isinstance(found, dict):
            yield from _simpler(case, place, found)
        elif place[-1] in ("at", "first_retry_interval", "after") and found not in (0, 1):
            yield _replaced(case, place, 1)
        elif place[-1] in ("result", "data") and found not in (None, "1"):
            yield _replaced(case, place, "1")


def _simpler(case: Case, place: Place, found: dict[str, Any]) -> Iterator[Case]:
    """Without one of its options, or a part of it in place of the whole."""
    for key in ("retry", "input", "app_id", "instance_id", "zone", "tamper", "lost", "finally"):
        if key in found and len(place) > 1:
            yield _replaced(case, place, {k: v for k, v in found.items() if k != key})
    for key in list(found.get("retry", ()))[2:]:
        policy = {k: v for k, v in found["retry"].items() if k != key}
        yield _replaced(case, place, {**found, "retry": policy})
    for key in ("value", "input"):
        if key in found and found.get(key) not in (1, None) and ("do" in found or "task" in found):
            yield _replaced(case, place, {**found, key: 1})
    if "task" in found and found.get("of"):
        for child in found["of"]:
            yield _replaced(case, place, child)
    for key in ("body", "then", "else", "catch"):
        if "do" in found and found.get(key) and isinstance(place[-1], int):
            around = _at(case, place[:-1])
            at = place[-1]
            yield _replaced(case, place[:-1], around[:at] + found[key] + around[at + 1 :])


def _places(it: Any, place: Place) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(it, dict):
        for key, each in it.items():
            yield from _places(each, (*place, key))
    elif isinstance(it, list):
        for index, each in enumerate(it):
            yield from _places(each, (*place, index))


def _at(case: Case, place: Place) -> Any:
    found: Any = case
    for step in place:
        found = found[step]
    return found


def _replaced(case: Case, place: Place, by: Any) -> Case:
    smaller = copy.deepcopy(case)
    owner = _at(smaller, place[:-1])
    owner[place[-1]] = by
    return smaller
