"""JSON text to Python values, and to what a type annotation says.

`reader_of(hint)` answers with a function from decoded JSON to that type, or None where decoded JSON is
all there is to it. None, the value, is never read as anything: a payload may always be missing.
"""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import functools
import inspect
import json
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any, Union
from uuid import UUID

from durabletask._payloads.hints import field_hints
from durabletask._payloads.models import model
from durabletask._payloads.write import AUTO_SERIALIZED, is_pydantic_model, to_json

Reader = Callable[[Any], Any]


class PayloadTypeError(TypeError):
    """A payload is not what the annotation says that is to receive it.

    Its text says where, what was expected, and of what type it is, but nothing of the payload itself: failures are
    logged, and payloads are not.
    """


# What `json.loads` does in the end. Looking for the space around small values takes it longer than reading them.
_raw_decode = json.JSONDecoder().raw_decode


def from_json(json_str: str | bytes | bytearray) -> Any:
    """Read a value from JSON.

    Raises:
        json.JSONDecodeError: A ValueError that says where the text is no JSON.

    """
    # The hook costs a call for each object, so it is only used where there is something to find.
    if not isinstance(json_str, str):
        hook = restored if AUTO_SERIALIZED.encode() in json_str else None
        return json.loads(json_str, object_hook=hook)
    if AUTO_SERIALIZED in json_str:
        return json.loads(json_str, object_hook=restored)
    try:
        value, end = _raw_decode(json_str)
    except ValueError:
        return json.loads(json_str)  # there is space before it; or else this says what is wrong
    return value if end == len(json_str) else json.loads(json_str)


def restored(fields: dict[str, Any]) -> Any:
    """An object as it was read, or as the namespace that its marker asks for."""
    if fields.pop(AUTO_SERIALIZED, False):
        return SimpleNamespace(**fields)
    return fields


# --------------------------------------------------------------------------------------------------
# Types


def _misfit(expected: str, value: Any) -> PayloadTypeError:
    count = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    return PayloadTypeError(f"expected {expected}, found {type(value).__name__}{count}")


def reader_of(hint: Any) -> Reader | None:
    """How to read a type; None: as JSON has it."""
    try:
        return _cached_reader(hint)
    except TypeError:  # not hashable, such as Annotated[int, []]
        return _reader(hint)


@functools.lru_cache(maxsize=1024)
def _cached_reader(hint: Any) -> Reader | None:
    return _reader(hint)


def _reader(hint: Any) -> Reader | None:
    """One that leaves None alone."""
    read = _reader_of_value(hint)
    if read is None:
        return None

    def read_unless_none(value: Any) -> Any:
        return None if value is None else read(value)

    return read_unless_none


def _reader_of_value(hint: Any) -> Reader | None:
    origin = typing.get_origin(hint)
    if origin is None:
        supertype = getattr(hint, "__supertype__", None)  # NewType
        if supertype is not None:
            return reader_of(supertype)
        return _reader_of_class(hint) if isinstance(hint, type) else None
    arguments = typing.get_args(hint)
    if hasattr(hint, "__metadata__") or getattr(origin, "_name", None) in _QUALIFIERS:
        return reader_of(arguments[0])
    if origin is Union or origin is types.UnionType:
        return _union(arguments)
    if not isinstance(origin, type):
        return None
    if not arguments and origin is not tuple:  # typing's names for bare classes, such as typing.Set
        return _reader_of_class(origin)
    if origin is tuple:
        return _tuple(arguments, bare=hint is typing.Tuple)  # noqa: UP006 - it is not tuple
    if origin in _SETS:
        return _items(_SETS[origin], arguments[0])
    if issubclass(origin, collections.abc.Mapping):
        return _mapping(*arguments) if len(arguments) == 2 else None
    if issubclass(origin, collections.abc.Iterable) and len(arguments) == 1:
        if origin not in _LISTS:
            return _reader_of_class(origin, hint)
        return _items(list, arguments[0]) if reader_of(arguments[0]) else None
    return _reader_of_class(origin, hint)


# What says something of a field and not of its type; beside Annotated.
_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final")

_SETS: dict[type, Callable[[Any], Any]] = {
    set: set,
    frozenset: frozenset,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)


def _reader_of_class(kind: type, use: Any = None) -> Reader | None:
    """`use` is the class with its type parameters, where the annotation gives them."""
    if kind in _PARSERS:
        return functools.partial(_parsed, kind)
    if kind in _SETS:
        return _items(_SETS[kind], Any)
    if kind is tuple:
        return _tuple((), bare=True)
    if issubclass(kind, Enum):
        # Those without members are there to be derived from; nothing is known of their values.
        return functools.partial(_member, kind) if kind.__members__ else None
    if is_pydantic_model(kind):
        return functools.partial(model, kind)
    if dataclasses.is_dataclass(kind):
        return functools.partial(_dataclass, kind, use or kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return functools.partial(_named_tuple, kind, use or kind)
    if typing.is_typeddict(kind):
        return functools.partial(_typed_dict, kind, use or kind)
    return None


# --------------------------------------------------------------------------------------------------
# Values that are one text or number


def _read_datetime(text: str) -> datetime:
    # Python 3.10 does not know the Z of other SDKs.
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)


def _read_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _read_bytearray(text: str) -> bytearray:
    return bytearray(_read_bytes(text))


# How a type is read, of what, and the words for it.
_PARSERS: dict[type, tuple[Callable[[Any], Any], tuple[type, ...], str]] = {
    datetime: (_read_datetime, (str,), "a datetime in ISO 8601"),
    date: (date.fromisoformat, (str,), "a date in ISO 8601"),
    time: (time.fromisoformat, (str,), "a time in ISO 8601"),
    UUID: (UUID, (str,), "a UUID"),
    Decimal: (lambda value: Decimal(str(value)), (str, int, float), "a decimal number"),
    bytes: (_read_bytes, (str,), "base64"),
    bytearray: (_read_bytearray, (str,), "base64"),
}


def _parsed(kind: type, value: Any) -> Any:
    parse, taken, expected = _PARSERS[kind]
    if isinstance(value, kind):
        return value
    if isinstance(value, taken) and not isinstance(value, bool):
        try:
            return parse(value)
        except (ValueError, ArithmeticError):
            pass
    raise _misfit(expected, value) from None


def _member(kind: type[Enum], value: Any) -> Any:
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except (ValueError, TypeError):
        pass
    # The value of a member may itself be one that JSON has another form for.
    text = to_json(value)
    for member in kind:
        if to_json(member.value) == text:
            return member
    raise _misfit(f"a value of {kind.__name__}", value)


# --------------------------------------------------------------------------------------------------
# Values that hold values


def _within(place: str, reader: Reader | None, value: Any) -> Any:
    """Read a part, and say where it is if it does not fit."""
    if reader is None:
        return value
    try:
        return reader(value)
    except PayloadTypeError as error:
        raise PayloadTypeError(f"{place}: {error}") from None


def _items(made: Callable[..., Any], hint: Any) -> Reader:
    def read(value: Any) -> Any:
        if isinstance(value, (set, frozenset)):
            value = list(value)
        if not isinstance(value, list):
            raise _misfit("a list", value)
        reader = reader_of(hint)
        items = [_within(f"[{index}]", reader, item) for index, item in enumerate(value)]
        try:
            return made(items)
        except TypeError as error:  # items that no set can hold
            raise PayloadTypeError(f"{error}, in a set") from None

    return read


def _tuple(hints: tuple[Any, ...], bare: bool) -> Reader:
    if hints == ((),):  # how Python 3.10 has tuple[()]
        hints = ()

    def read(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _misfit("a list", value)
        each = hints
        if bare or (len(hints) == 2 and hints[1] is Ellipsis):
            each = (Any if bare else hints[0],) * len(value)
        if len(each) != len(value):
            raise _misfit(f"{len(each)} items", value)
        return tuple(
            _within(f"[{index}]", reader_of(hint), item)
            for index, (hint, item) in enumerate(zip(each, value, strict=True))
        )

    return read


def _mapping(key_hint: Any, value_hint: Any) -> Reader | None:
    read_key, read_value = reader_of(key_hint), reader_of(value_hint)
    if read_key is None and read_value is None:
        return None

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        # Numbers, since keys are of the payload, too.
        return {
            _within(f"key {number}", read_key, key): _within(f"value {number}", read_value, item)
            for number, (key, item) in enumerate(value.items(), 1)
        }

    return read


def _union(members: tuple[Any, ...]) -> Reader | None:
    readers = [(member, reader_of(member)) for member in members if member is not type(None)]
    if all(reader is None for _, reader in readers):
        return None
    if len(readers) == 1:
        return readers[0][1]

    def read(value: Any) -> Any:
        """The first member that the value fits, in the order of the annotation.

        Dataclasses that have all fields that are given come before others, so that none is lost.
        """
        misfits = []
        for member, reader in sorted(readers, key=lambda each: _loses_fields(each[0], value)):
            if reader is None:
                plain = typing.get_origin(member) or member
                if not isinstance(plain, type) or isinstance(value, plain):
                    return value
                continue
            try:
                return reader(value)
            except (PayloadTypeError, ValueError) as error:  # a ValueError is pydantic's
                misfits.append(str(error))
        raise PayloadTypeError("; or ".join(misfits))

    return read


def _loses_fields(member: Any, value: Any) -> bool:
    kind = typing.get_origin(member) or member
    given = _fields_of(value)
    if given is None or not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        return False
    return not given.keys() <= {field.name for field in dataclasses.fields(kind)}


def _fields_of(value: Any) -> dict[str, Any] | None:
    if isinstance(value, SimpleNamespace):
        return vars(value)
    return value if isinstance(value, dict) else None


def _dataclass(kind: Any, use: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    given = _fields_of(value)
    if given is None:
        raise _misfit(f"an object with the fields of {kind.__name__}", value)
    hints = field_hints(use)
    arguments: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in given:
            item = _within(
                f"{kind.__name__}.{field.name}",
                reader_of(hints.get(field.name, Any)),
                given[field.name],
            )
            (arguments if field.init else others)[field.name] = item
        elif (
            field.init
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            raise PayloadTypeError(f"the field '{field.name}' of {kind.__name__} is missing")
    try:
        made = kind(**arguments)
    except TypeError:
        missing = _missing(kind, arguments)
        if missing:
            raise PayloadTypeError(
                f"{kind.__name__} can not be made again without {missing}, which is no field"
            ) from None
        raise
    for name, item in others.items():
        object.__setattr__(made, name, item)  # frozen ones, too
    return made


def _typed_dict(kind: Any, use: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise _misfit(f"an object with the keys of {kind.__name__}", value)
    hints = field_hints(use)
    return {
        name: _within(f"{kind.__name__}[{name!r}]", reader_of(hints.get(name, Any)), item)
        for name, item in value.items()
    }


def _named_tuple(kind: Any, use: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    given = _fields_of(value)
    if given is None:
        if not isinstance(value, (list, tuple)) or len(value) > len(kind._fields):
            raise _misfit(f"an object with the fields of {kind.__name__}", value)
        given = dict(zip(kind._fields, value, strict=False))
    missing = [name for name in kind._fields if name not in given | kind._field_defaults]
    if missing:
        raise PayloadTypeError(f"the fields {missing} of {kind.__name__} are missing")
    hints = field_hints(use)
    return kind(
        **{
            name: _within(f"{kind.__name__}.{name}", reader_of(hints.get(name, Any)), given[name])
            for name in kind._fields
            if name in given
        }
    )


def _missing(kind: Any, given: dict[str, Any]) -> list[str]:
    """What a class wants to be made from and has not got: variables of its initialization alone."""
    parameters = inspect.signature(kind).parameters.values()
    return [
        each.name
        for each in parameters
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        and each.name not in given
    ]
