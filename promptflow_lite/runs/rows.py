"""Is this text a row of the data? A record: an object of JSON, read strictly, or what is wrong with it."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

import orjson

from promptflow_lite.runs.records import loads
from promptflow_lite.runs.streams import encoding_hint

__all__ = ["Record", "Row", "reason", "record_of"]

Row = dict[str, Any]

_CONSTANTS = ("NaN", "Infinity", "-Infinity")
_DEEPEST = 250
"""Levels of a record at most; orjson writes no more than 254."""


class Record(NamedTuple):
    """One record of a file: its row, or what is wrong with it."""

    line: int
    """Where it begins, from 1 on; in Parquet its row."""
    row: Row | None
    complaint: str = ""
    final: bool = False
    """Whether the complaint is about the file, so that leaving the record out does not help."""


def record_of(line: int, text: bytes, *, is_checked: bool = False) -> Record:
    """The record that begins in a line."""
    try:
        value = loads(text)
        if not isinstance(value, dict):
            return Record(line, None, f"expected a JSON object, got {_kind(value)}")
        if not is_checked:
            _check(text, value)
    except (ValueError, RecursionError) as error:
        return Record(line, None, encoding_hint(text) or reason(error, text))
    return Record(line, value)


def reason(error: Exception, text: bytes = b"") -> str:
    """What is wrong with JSON, for people."""
    if isinstance(error, json.JSONDecodeError):
        if "surrogate" in error.msg:
            return f"a lone surrogate, which is no character (column {error.colno})"
        if "recursion" in error.msg or "depth" in error.msg:
            return f"nested more than {_DEEPEST} levels deep"
        constant = next((c for c in _CONSTANTS if text.startswith(c.encode(), error.pos)), None)
        if constant is not None:
            return f"{constant} is not JSON (column {error.colno}); null is"
        return f"not JSON: {error.msg} (column {error.colno})"
    if isinstance(error, RecursionError):
        return f"nested more than {_DEEPEST} levels deep"
    if "integer string conversion" in str(error):
        return f"a whole number of more than {sys.get_int_max_str_digits():,} digits; as text it can be read"
    is_said = str(error).startswith(("the key", "nested", "not JSON", "expected"))
    return str(error) if is_said else f"not JSON: {error}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


def _check(text: bytes, row: Row) -> None:
    """That no key stands twice, and that the row is not too deep to be written again.

    A key that stood twice is gone, its colon with it: to count colons costs a tenth of reading key by key.
    """
    try:
        if orjson.dumps(row).count(b":") == text.count(b":") and b"\\u00" not in text:
            return
    except TypeError:  # a big integer, or too deep
        _check_depth(row)
    json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen.add(key)


def _check_depth(row: Row) -> None:
    level: list[Any] = [row]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} levels deep")
