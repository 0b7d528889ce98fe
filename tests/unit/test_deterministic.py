"""Deterministic values are those of 0.17, bit for bit: histories hold ids that it made."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from durabletask import deterministic

NOW = datetime(2024, 1, 2, 3, 4, 5, 678)


class Context(deterministic.DeterministicContextMixin):
    instance_id = "abc"
    current_utc_datetime = NOW


@pytest.fixture
def context() -> Context:
    return Context()


def test_uuids_are_the_recorded_ones(context: Context) -> None:
    assert str(context.uuid4()) == "c0199f0b-19c8-5a5d-b34e-6e0a7bde063c"
    assert str(context.new_guid()) == "0ea54329-20ed-5add-9963-fb0ddf3060a4"


def test_uuid4_of_a_generator_is_the_recorded_one() -> None:
    found = deterministic.deterministic_uuid4(random.Random(3))
    assert str(found) == "7942bdf2-2106-4084-b762-f0f3cb4d764d"
    assert found.version == 4


def test_random_values_are_the_recorded_ones() -> None:
    seed = deterministic.DeterminismSeed("abc", 1_704_164_645).to_int()
    assert seed == deterministic.derive_seed("abc", NOW) == 2_216_209_492_442_358_348
    context = Context()
    assert context.random().random() == 0.4319113392738275
    assert context.random_string(20) == "BPnVVHayyOf9NMqpN7i7"
    assert context.random_int() == 1_855_045_060
    assert context.random_choice("abcdef") == "d"


def test_random_starts_afresh_at_every_call(context: Context) -> None:
    assert context.random().random() == context.random().random()


def test_timestamps_in_sequence_grow_by_microseconds(context: Context) -> None:
    assert context.now() == NOW
    assert context.now_with_sequence() == NOW
    assert context.current_utc_datetime_with_sequence() == NOW + timedelta(microseconds=1)


def test_each_context_counts_for_itself() -> None:
    assert Context().uuid4() == Context().uuid4()


def test_wrong_arguments_are_refused(context: Context) -> None:
    with pytest.raises(ValueError, match="length must be non-negative"):
        context.random_string(-1)
    with pytest.raises(ValueError, match="alphabet must not be empty"):
        context.random_string(1, alphabet="")
    with pytest.raises(ValueError, match="min_value must be <= max_value"):
        context.random_int(2, 1)
    with pytest.raises(IndexError, match="Cannot choose from empty sequence"):
        context.random_choice([])


def test_random_values_do_not_depend_on_the_time_zone() -> None:
    """A replay may run elsewhere than what it repeats; the values are those of 0.17 in UTC."""
    program = (
        "from datetime import datetime\n"
        "from durabletask import deterministic\n"
        "now = datetime(2024, 1, 2, 3, 4, 5, 678)\n"
        "print(deterministic.derive_seed('abc', now), deterministic.deterministic_random('abc', now).random())"
    )
    found = {
        zone: subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for zone in ("UTC", "Asia/Tokyo", "America/New_York")
    }
    assert set(map(tuple, found.values())) == {("2216209492442358348", "0.4319113392738275")}, found


def test_times_with_a_zone_are_taken_as_they_say() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert deterministic.derive_seed("abc", NOW.replace(tzinfo=timezone.utc).astimezone(tokyo)) == (
        deterministic.derive_seed("abc", NOW)
    )
