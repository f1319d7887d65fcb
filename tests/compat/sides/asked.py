"""What both sides of the comparison of flex flows and prompty files leave out, and call by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.compat.sides.scripted import kind_of

__all__ = ["UNLIKE", "code_kind", "without_usage"]

UNLIKE = ("obj_id",)
"""Outputs that differ between any two runs."""


def code_kind(name: str) -> str:
    """What a connection is made to be: the examples say `open_ai_connection`, and mean Azure's."""
    return "azure" if name == "open_ai_connection" else kind_of(name)


def without_usage(requests: Sequence[Sequence[Any]]) -> list[Any]:
    """The requests without the wish for a count of tokens, which only one side sends with a stream."""
    return [
        [path, {key: _number(value) for key, value in body.items() if key != "stream_options"}]
        for path, body in requests
    ]


def _number(value: Any) -> Any:
    """1 and 1.0 are one number, and two texts."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
