"""Payloads are read as Python's `json` reads them, whatever is in them, and refused where it refuses them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabletask.replay import Replayer

from support import messages
from support.history import History


def by_the_engine(text: str) -> str:
    """What an orchestrator is handed as the result of an activity; "refused" if it fails."""
    seen: list[Any] = []

    def orchestrator(ctx: Any, _: Any) -> Any:
        seen.append((yield ctx.call_activity("a")))
        return "read"

    history = History("orchestrator").scheduled(1, "a").turn().completed_raw(1, text)
    response = messages.OrchestratorResponse.FromString(
        Replayer([orchestrator]).execute(history.encode())
    )
    assert len(response.actions) == 1
    return shown(seen[0]) if seen else "refused"


def by_json(text: str) -> str:
    try:
        return shown(json.loads(text))
    except ValueError:
        return "refused"


def shown(value: Any) -> str:
    """Tells 1 from 1.0 and True, 0.0 from -0.0, NaN from all else, and the order of keys."""
    return ascii(value)


PIECES = [
    *["{", "}", "[", "]", ",", ":", '"', "\\", "/", "\n", "\t", "\r", " "],
    *["0", "1", "7", "9", "-", "+", ".", "e", "E", "u", "n", "t", "f", "b"],
    *["true", "false", "null", "NaN", "Infinity", "-Infinity", "-0", "-0.0", "0.1", "1E-7", "01"],
    *["123456789012345678", "1234567890123456789", "1e400"],
    *["\\ud83d", "\\ude00", "\\u", "é", "😀", "\x7f", "\x1f", "\x00"],
    *['"a"', '"key": ', '"\\u00e9"', '"\\ud83d\\ude00"', '"a" : 1, "a" : 2'],
    *['"eight or", "more than eight bytes'],
]

values: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        (st.none() | st.booleans() | st.integers() | st.floats() | st.text())
        | st.lists(values, max_size=4)
        | st.dictionaries(st.text(), values, max_size=4)
    )
)


@settings(max_examples=300, deadline=None)
@given(value=values, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 1, "\t"]))
def test_what_json_writes_is_read_as_json_reads_it(
    value: Any, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair, which no message can carry as it is
    assert by_the_engine(text) == by_json(text)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join)
    | st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: f'["{"".join(pieces)}"]')
    | st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: f"[{','.join(pieces)}]")
    | st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: f'{{"k":{"".join(pieces)}}}')
)
def test_what_is_no_json_is_refused_where_json_refuses_it(text: str) -> None:
    assert by_the_engine(text) == by_json(text)


@pytest.mark.parametrize("length", [*range(26), 40, 300])
def test_texts_and_keys_of_any_length_are_read_whole(length: int) -> None:
    for letter in ("a", "é", "\\n", "☂"):
        text = json.dumps({"x" * length: letter * length, letter * length: 1}, ensure_ascii=False)
        assert by_the_engine(text) == by_json(text)


def test_keys_that_look_alike_are_told_apart() -> None:
    keys = ["", "a", "b", "ab", "ba", "aab", "abcd", "abcde", "abcdabcd", "abcdabcdx", "abcdxbcd"]
    keys += ["12345678x2345678", "12345678y2345678", "12345678x12345678", "12345678xy2345678"]
    keys += ["1234567812345678" + "z" * count for count in range(10)]
    text = json.dumps([{key: key} for key in keys] * 2)
    assert by_the_engine(text) == by_json(text)


def test_more_keys_than_are_remembered_are_read() -> None:
    text = json.dumps([{f"key-{number}": number} for number in range(2_000)])
    assert by_the_engine(text) == by_json(text)


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 150])
def test_values_in_values_are_read_at_any_depth(depth: int) -> None:
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        assert by_the_engine(text) == by_json(text)
