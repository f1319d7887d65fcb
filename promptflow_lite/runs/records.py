"""What is one line of the journal? A LineResult as one line of strict JSON, and back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from string import digits
from typing import Any, NoReturn

import orjson

from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, NodeRun, Status
from promptflow_lite.tools.scope import Usage
from promptflow_lite.values import Image, to_plain

__all__ = [
    "DECODER",
    "Key",
    "decode",
    "decode_aggregation",
    "dumps",
    "encode",
    "key_of",
    "key_text",
    "loads",
    "pretty",
]

Key = tuple[int, int]
"""What a line is told by: its number in the data, and its repeat."""

_OUTLINE = "".join("0" if c in digits else "." if c == "." else " " for c in map(chr, range(256))).encode()
_NODE_RUN = frozenset(f.name for f in dataclasses.fields(NodeRun))
_FAILURE = frozenset(f.name for f in dataclasses.fields(Failure))
_USAGE = frozenset(f.name for f in dataclasses.fields(Usage))
_DEEPEST = 200
"""Levels of a value that are kept; readers of JSON give up at some depth too."""
_LONGEST_SHOWN = 1000
_BIG_NUMBER = b" " + b"0" * 19
"""In an outline, an integer that may go beyond 64 bits: orjson reads it as a float, the standard library
keeps it. To look for it so costs a tenth of a regular expression, which every record and row would pay."""


def encode(result: LineResult) -> bytes:
    """The record of a result, ending in a newline.

    What JSON cannot hold is kept as near as it can be: other keys as text, NaN and infinities as null, lone
    surrogates as the replacement character, any other object as its `repr` (as Prompt flow keeps node
    outputs).
    """
    return dumps(result) + b"\n"


def decode(record: Mapping[str, Any]) -> LineResult:
    """The result of a record that was read as JSON."""
    return LineResult(
        line_number=record["line_number"],
        status=Status(record["status"]),
        inputs=record["inputs"],
        outputs=record["outputs"],
        node_runs={name: _node_run(run) for name, run in record["node_runs"].items()},
        error=_failure(record["error"]),
        started=record["started"],
        seconds=record["seconds"],
        usage=_usage(record["usage"]),
        logs=record["logs"],
        repeat=record.get("repeat", 0),
    )


def decode_aggregation(record: Mapping[str, Any]) -> AggregationResult:
    """The result of aggregation nodes that was read as JSON."""
    return AggregationResult(
        metrics=record["metrics"],
        node_runs={name: _node_run(run) for name, run in record["node_runs"].items()},
        error=_failure(record["error"]),
        logs=record["logs"],
    )


def key_of(record: Mapping[str, Any]) -> Key:
    """The line that a record is about."""
    return record["line_number"], record.get("repeat", 0)


def key_text(key: Key) -> str:
    """A line's key for people and for JSON: its number, and its repeat after the first.

    >>> key_text((7, 0)), key_text((7, 2))
    ('7', '7/2')
    """
    number, repeat = key
    return f"{number}/{repeat}" if repeat else str(number)


def _node_run(run: Mapping[str, Any]) -> NodeRun:
    usage = _usage(run["usage"]) if run["usage"] else None
    found = {**run, "status": Status(run["status"]), "error": _failure(run["error"]), "usage": usage}
    return NodeRun(**_known(found, _NODE_RUN))


def _failure(error: Mapping[str, Any] | None) -> Failure | None:
    return Failure(**_known(error, _FAILURE)) if error else None


def _usage(counts: Mapping[str, Any]) -> Usage:
    return Usage(**_known(counts, _USAGE))


def _known(fields: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    """The fields that this version knows: a journal may come from a newer one."""
    return fields if fields.keys() <= names else {n: value for n, value in fields.items() if n in names}


def loads(text: bytes) -> Any:
    """The value of JSON text, integers beyond 64 bits kept whole.

    Raises:
        ValueError: it is not JSON; NaN and infinities are not.
    """
    if _BIG_NUMBER in b" " + text.translate(_OUTLINE):
        return DECODER.decode(text.decode())
    return orjson.loads(text)


def dumps(value: Any) -> bytes:
    """`value` as one line of strict JSON, without the newline."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        return json.dumps(_strict(value), ensure_ascii=False).encode()


def pretty(value: Any) -> bytes:
    """`value` as a JSON file of its own."""
    return json.dumps(_strict(value), ensure_ascii=False, indent=2).encode() + b"\n"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""The standard library's, made strict: for big integers, and for values one after the other."""


def _plain(value: Any) -> Any:
    """What orjson does not know of itself."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):
        return value.tolist()
    return to_plain(value) if isinstance(value, Image) else repr(value)


def _strict(value: Any, depth: int = 0) -> Any:
    """The slow way, for what orjson refuses: big integers, surrogates, circles, keys that are no text."""
    if depth > _DEEPEST:
        return _shown(value)
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.encode("utf-8", "replace").decode() if not value.isascii() else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_strict(str(key)): _strict(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_strict(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _strict(getattr(value, f.name), depth + 1) for f in fields}
    try:
        return _strict(_plain(value), depth + 1)
    except Exception:  # of the user's `__repr__`, `model_dump`, ...: a record takes what it can get
        return _shown(value)


def _shown(value: Any) -> str:
    """What is left of a value that goes too deep, or will not be written."""
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
