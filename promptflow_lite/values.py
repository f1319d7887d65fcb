"""What is left of a value when it is written down? JSON in and out for everything that a node may return."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

__all__ = ["clean_text", "to_plain"]

_MAX_DEPTH = 100
_SHOWN = 1000
_SCALARS = frozenset({bool, int, type(None)})


def to_plain(value: Any) -> Any:
    """`value` as what strict JSON can hold: str, int, float, bool, None, list, and dict with string keys.

    A copy: later changes of a list or mapping in `value` do not show in it. Dataclasses and pydantic models
    become mappings, sets and arrays lists, dates ISO text, enums their values, NaN and infinities null, lone
    surrogates the replacement character. What is none of these becomes its `repr`, as in Prompt flow's
    records; so do connections, whose `repr` shows no secret.

    >>> to_plain({1: {"a": float("nan")}, "when": date(2024, 1, 1)})
    {'1': {'a': None}, 'when': '2024-01-01'}
    """
    return _plain(value, 0)


def clean_text(text: str) -> str:
    """`text` as UTF-8 can hold it: pairs of surrogates joined, lone ones replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean_text(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > _MAX_DEPTH:
        return _shown(value)
    if kind is dict:
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item, depth + 1) for item in value]
    return _unusual(value, depth)


def _unusual(value: Any, depth: int) -> Any:
    match value:
        case Enum():
            return _plain(value.value, depth + 1)
        case str():
            return clean_text(str.__str__(value))
        case bool() | int():
            return int(value)
        case float() | Decimal():
            return _plain(float(value), depth)
        case PurePath():
            return clean_text(str(value))
        case bytes() | bytearray() | memoryview():
            return _shown(value)
        case dict() | MappingProxyType():
            return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, depth + 1) for item in value]
        case set() | frozenset():
            return [_plain(item, depth + 1) for item in _ordered(value)]
        case _:
            return _object(value, depth)


def _object(value: Any, depth: int) -> Any:
    kind = type(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping | type):
        return _shown(value)
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)}
    if kind.__module__ == "uuid":  # not imported: it costs the start of every command 3 ms
        return str(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist"):
        return _plain(value.tolist(), depth + 1)
    if hasattr(kind, "model_dump"):
        return _plain(value.model_dump(), depth + 1)
    return _shown(value)


def _key(key: Any) -> str:
    if type(key) is str:
        return key if key.isascii() else clean_text(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    plain = to_plain(key)
    return plain if isinstance(plain, str) else clean_text(str(key))


def _ordered(values: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _shown(value: Any) -> str:
    text = clean_text(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
