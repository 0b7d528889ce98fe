"""Payloads of declared types, and how to write and read them in another way.

With `typed_payloads=True` of a worker or replayer, a parameter of an orchestrator or activity is handed a
value of the type that it is annotated with:

    @dataclass
    class Order:
        id: UUID
        due: datetime

    def ship(ctx: ActivityContext, order: Order) -> str: ...

Understood are dataclasses, named tuples, Enum, pydantic models (2.x), datetime, date, time, UUID,
Decimal, bytes, set, frozenset and tuple; and list, dict, Optional and unions of all these. Whatever
else stands there - nothing, Any, int, str, a class of the program's own - leaves the value as JSON has
it, with `SimpleNamespace` for what was written as a dataclass or named tuple.

Without `typed_payloads`, which is the default, programs written for durabletask-dapr 0.17 receive what
they did there, whatever is annotated; with two exceptions, on parameters annotated with one class or with
that or None:

- An object becomes the pydantic model that is annotated.
- What would be a `SimpleNamespace` becomes the dataclass or named tuple that is annotated, if it has
  exactly its fields. They keep the values that they had in the namespace, and no code of the class is run.

Names that were lost there are kept, besides: named tuples inside other values, and dataclasses inside
dataclasses, are a `SimpleNamespace` too.

Results of activities and sub-orchestrations and the data of events are not bound to a parameter, and
arrive as JSON has them; `convert` makes them what they are known to be:

    receipt = convert((yield ctx.call_activity(charge, input=order)), Receipt)

| type | in JSON |
| --- | --- |
| datetime, date, time | text, ISO 8601, with the offset if there is one; the zone's name and `fold` are lost |
| UUID, Decimal | text |
| bytes, bytearray | text, base64 |
| Enum | its value |
| set, frozenset | list, sorted by the JSON of its items |
| dataclass, named tuple, SimpleNamespace | object, marked with `__durabletask_autoobject__`, at any depth |
| pydantic model | object as of `model_dump(mode="json", by_alias=True)` |
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, overload

from durabletask._payloads import read, write
from durabletask._payloads.read import PayloadTypeError, reader_of

__all__ = ["JsonConverter", "PayloadConverter", "PayloadTypeError", "convert"]

T = TypeVar("T")


class PayloadConverter(Protocol):
    """Writes and reads all payloads of a worker, client or replayer it is given to.

    Payloads outlive the process and are read by other workers: all that take part need converters
    that understand each other. Both methods must be deterministic, and may be called from several
    threads at once. None is no payload: it is neither written nor read.
    """

    def to_json(self, value: Any) -> str:
        """Write a value as JSON text.

        Raises:
            TypeError: It cannot be written; the call that it was given to fails.
        """

    def from_json(self, text: str, hint: Any) -> Any:
        """Read JSON text.

        Args:
            text: What `to_json` wrote, here or elsewhere.
            hint: The annotation of the parameter that the value is for, resolved; None where there
                is none, as for results and events.
        """


class JsonConverter:
    """The converter that is used when none is given; a base for those that only add to it."""

    def to_json(self, value: Any) -> str:
        """Write a value in the forms that this module's description lists."""
        return write.to_json(value)

    def from_json(self, text: str, hint: Any) -> Any:
        """Read a value, as the type that `hint` says."""
        return convert(read.from_json(text), hint)


@overload
def convert(value: Any, hint: type[T]) -> T: ...
@overload
def convert(value: Any, hint: Any) -> Any: ...
def convert(value: Any, hint: Any) -> Any:
    """A value as JSON has it, such as an activity's result, as what an annotation says.

    Raises:
        PayloadTypeError: The value does not fit; the message says which part.
        pydantic.ValidationError: It is no such pydantic model.
    """
    reader = reader_of(hint)
    return value if reader is None else reader(value)
