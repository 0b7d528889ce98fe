"""Random numbers, UUIDs and timestamps that come out the same on every replay of an orchestration.

Each value depends on the instance id, on the orchestrator's current time and, where several are
needed, on a counter. The recipes are part of the durable contract: histories hold ids that were
made by them, so they must never change.
"""

from __future__ import annotations

import hashlib
import random
import string
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

# The namespace that Durable Task SDKs agree on for the ids an orchestrator makes.
_GUID_NAMESPACE = uuid.UUID("9e952958-5e33-4daf-827f-2fa12937b875")


@dataclass
class DeterminismSeed:
    """What a seed is made of: an instance and a point in its time, in whole seconds since 1970."""

    instance_id: str
    orchestration_unix_ts: int

    def to_int(self) -> int:
        """The seed as an unsigned 64-bit integer: the head of a SHA-256, big-endian."""
        text = f"{self.instance_id}:{self.orchestration_unix_ts}"
        return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def derive_seed(instance_id: str, orchestration_time: datetime) -> int:
    """The seed of an instance at a point in its time; the fraction of the second is dropped.

    A time without tzinfo is UTC, whatever the time zone of the process: replays may run elsewhere.
    """
    if orchestration_time.tzinfo is None:
        orchestration_time = orchestration_time.replace(tzinfo=timezone.utc)
    return DeterminismSeed(instance_id, int(orchestration_time.timestamp())).to_int()


def deterministic_random(instance_id: str, orchestration_time: datetime) -> random.Random:
    """A generator of random numbers that starts from `derive_seed`."""
    return random.Random(derive_seed(instance_id, orchestration_time))


def deterministic_uuid4(rnd: random.Random) -> uuid.UUID:
    """A version 4 UUID out of sixteen numbers drawn from `rnd`.

    Kept for programs that use it; `deterministic_uuid_v5` is what orchestration contexts use.
    """
    octets = bytearray(rnd.randrange(0, 256) for _ in range(16))
    octets[6] = (octets[6] & 0x0F) | 0x40  # version 4
    octets[8] = (octets[8] & 0x3F) | 0x80  # variant of RFC 4122
    return uuid.UUID(bytes=bytes(octets))


def deterministic_uuid_v5(instance_id: str, current_datetime: datetime, counter: int) -> uuid.UUID:
    """The `counter`-th UUID (from 0) of an instance at a point in its time, as a version 5 UUID.

    Other Durable Task SDKs make the same kind of id in the same namespace.
    """
    return uuid.uuid5(_GUID_NAMESPACE, f"{instance_id}_{current_datetime.isoformat()}_{counter}")


class DeterministicContextMixin:
    """The deterministic helpers of an orchestration context.

    A class that mixes this in has the attributes `instance_id` and `current_utc_datetime`.
    """

    # Class attributes, so that a context written in another language need not call an initializer.
    _uuid_counter: int = 0
    _timestamp_counter: int = 0

    if TYPE_CHECKING:

        @property
        def instance_id(self) -> str: ...  # noqa: D102

        @property
        def current_utc_datetime(self) -> datetime: ...  # noqa: D102

    def now(self) -> datetime:
        """The orchestrator's current time; the same as `current_utc_datetime`."""
        return self.current_utc_datetime

    def random(self) -> random.Random:
        """A random number generator seeded by instance and current time.

        Every call within one turn returns a generator in the same state: keep it, if you want more
        than one number.
        """
        rnd = deterministic_random(self.instance_id, self.current_utc_datetime)
        rnd._dt_deterministic = True  # type: ignore[attr-defined]  # 0.17 marks it so, and sandboxes look for the mark
        return rnd

    def uuid4(self) -> uuid.UUID:
        """A UUID that no other call in this execution returns, and that a replay returns again.

        In spite of its name a version 5 UUID, as in other Durable Task SDKs.
        """
        value = deterministic_uuid_v5(
            self.instance_id, self.current_utc_datetime, self._uuid_counter
        )
        self._uuid_counter += 1
        return value

    def new_guid(self) -> uuid.UUID:
        """The same as `uuid4`, under the name that other SDKs give it."""
        return self.uuid4()

    def random_string(self, length: int, *, alphabet: str | None = None) -> str:
        """A string of `length` characters out of `alphabet` (by default ASCII letters and digits).

        Raises:
            ValueError: `length` is negative, or `alphabet` is empty.

        """
        if length < 0:
            raise ValueError("length must be non-negative")
        characters = string.ascii_letters + string.digits if alphabet is None else alphabet
        if not characters:
            raise ValueError("alphabet must not be empty")
        rnd = self.random()
        return "".join(characters[rnd.randrange(0, len(characters))] for _ in range(length))

    def random_int(self, min_value: int = 0, max_value: int = 2**31 - 1) -> int:
        """An integer between `min_value` and `max_value`, both included.

        Raises:
            ValueError: `min_value` is greater than `max_value`.

        """
        if min_value > max_value:
            raise ValueError("min_value must be <= max_value")
        return self.random().randint(min_value, max_value)

    def random_choice(self, sequence: Sequence[T]) -> T:
        """One element of `sequence`.

        Raises:
            IndexError: `sequence` is empty.

        """
        if not sequence:
            raise IndexError("Cannot choose from empty sequence")
        return self.random().choice(sequence)

    def now_with_sequence(self) -> datetime:
        """The orchestrator's current time plus one microsecond for each earlier call.

        Timestamps within one turn are then different and in order, which plain `now` does not
        promise.
        """
        value = self.current_utc_datetime + timedelta(microseconds=self._timestamp_counter)
        self._timestamp_counter += 1
        return value

    def current_utc_datetime_with_sequence(self) -> datetime:
        """The same as `now_with_sequence`."""
        return self.now_with_sequence()
