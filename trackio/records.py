"""Records: frozen dataclasses that are JSON objects in a file.

A record reads what it knows by its type hints and keeps what it does not know in ``extra``, where it has that
field, so that a newer minor version's keys survive being written back.
"""

import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from functools import cache
from typing import Any, Self, cast

from ..configs.errors import TrackFormatError

EXTRA = "extra"
_FRACTION = re.compile(r"-?\d+(/0*[1-9]\d*)?")


@dataclass(frozen=True)
class Record:
    """Base of dataclasses of text, numbers, fractions, records, and tuples and dicts of them."""

    def as_dict(self) -> dict[str, Any]:
        """The JSON object; fractions become ``"num/den"``, tuples lists, and ``extra`` its own keys."""
        own = {item.name: _plain(getattr(self, item.name)) for item in fields(self) if item.name != EXTRA}
        return {**getattr(self, EXTRA, {}), **own}

    @classmethod
    def from_dict(cls, values: object, where: str = "") -> Self:
        """Make the record from a JSON object.

        Args:
            values: What the JSON parser returned.
            where: Path of the object within the file, such as ``shots[2]``, for messages.

        Raises:
            TrackFormatError: It is no object, a key is missing, or a value has the wrong type.
        """
        if not isinstance(values, Mapping):
            raise _wrong(where, values, "an object")
        hints = _hints(cast(Any, cls))
        made = {}
        for item in fields(cls):
            path = f"{where}.{item.name}" if where else item.name
            if item.name == EXTRA:
                made[EXTRA] = {key: value for key, value in values.items() if key not in hints or key == EXTRA}
            elif item.name in values:
                made[item.name] = _decode(hints[item.name], values[item.name], path)
            elif item.default is MISSING and item.default_factory is MISSING:
                raise TrackFormatError(f"metadata key {path} is missing")
        return cls(**made)


@cache
def _hints(record: Any) -> dict[str, Any]:
    return typing.get_type_hints(record)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_dict()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _decode(hint: Any, value: object, where: str) -> Any:
    members = typing.get_args(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (types.UnionType, typing.Union):
        present = next(member for member in members if member is not types.NoneType)
        return None if value is None else _decode(present, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_decode(members[0], item, f"{where}[{place}]") for place, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {key: _decode(members[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if issubclass(origin, Record):
        return origin.from_dict(value, where)
    return _decode_scalar(origin, value, where)


def _decode_scalar(kind: type, value: object, where: str) -> Any:
    if kind is Fraction:
        if not isinstance(value, str) or not _FRACTION.fullmatch(value):
            raise _wrong(where, value, "a fraction such as '1/25'")
        return Fraction(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _wrong(where, value, "a finite number")
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(where, value, {int: "a whole number", str: "text"}.get(kind, kind.__name__))
    return value


def _wrong(where: str, got: object, expected: str) -> TrackFormatError:
    return TrackFormatError(f"metadata {f'key {where}' if where else 'as a whole'}", got=repr(got), expected=expected)
