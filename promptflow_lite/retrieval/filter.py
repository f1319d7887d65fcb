"""Which passages may be found? A filter over their metadata, as a condition that SQLite checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from promptflow_lite.errors import InputError

__all__ = ["Conditions", "conditions"]

_MOST = 1000
"""Values of one filter: they may come from strangers, and SQLite takes 32,766 at most."""
_BOUNDS = {"min": ">=", "max": "<="}


class Conditions(NamedTuple):
    """What a filter comes to."""

    sql: str
    """The ids of the passages that are allowed; empty where everything is."""
    values: tuple[Any, ...]
    """What the text's placeholders stand for."""


def conditions(filter: Mapping[str, Any]) -> Conditions:
    """What must hold of a passage's metadata: every name's condition.

    A plain value is what the field must equal; a list, what it must be one of; `{"min": a, "max": b}` (either
    may be left out), the range it must lie in, both ends included. Numbers are compared with numbers, text
    with text, character by character: dates written as 2026-11-23 compare as dates.

    Raises:
        InputError: the filter is none of that.
    """
    if not isinstance(filter, Mapping):
        raise InputError(f"filter: expected names and conditions, got {filter!r}", code="bad-filter")
    each: list[str] = []
    values: list[Any] = []
    for name, wanted in filter.items():
        if not isinstance(name, str):
            raise InputError(f"filter: expected a name, got {name!r}", code="bad-filter")
        test, bound = _test(name, wanted)
        each.append(
            "exists (select 1 from json_each(chunks.metadata) as field "  # noqa: S608  # every value is bound
            f"where field.key = ? and ({test}))"
        )
        values += [name, *bound]
    if len(values) > _MOST:
        raise InputError(f"filter: expected at most {_MOST} values, got {len(values)}", code="bad-filter")
    sql = f"select id from chunks where {' and '.join(each)}" if each else ""  # noqa: S608  # constant text
    return Conditions(sql, tuple(values))


def _test(name: str, wanted: Any) -> tuple[str, list[Any]]:
    if isinstance(wanted, Mapping):
        return _range(name, wanted)
    among = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    for value in among:
        if not isinstance(value, str | int | float | None):
            raise InputError(
                f"filter.{name}: expected text, a number, nothing, a list of these, or min and max, "
                f"got {value!r}",
                code="bad-filter",
            )
    return " or ".join(["field.value is ?"] * len(among)) or "0", among


def _range(name: str, wanted: Mapping[Any, Any]) -> tuple[str, list[Any]]:
    kinds = {"text" if isinstance(value, str) else "number" for value in wanted.values()}
    plain = all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in wanted.values())
    if not wanted or not set(wanted) <= set(_BOUNDS) or not plain or len(kinds) > 1:
        raise InputError(
            f"filter.{name}: expected min, max or both, as numbers or as text, got {dict(wanted)!r}",
            code="bad-filter",
        )
    types = "field.type = 'text'" if kinds == {"text"} else "field.type in ('integer', 'real')"
    return " and ".join([types, *(f"field.value {_BOUNDS[end]} ?" for end in wanted)]), [*wanted.values()]
