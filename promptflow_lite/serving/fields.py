"""What may stand in a key of an endpoint's or deployment's file? In words, and how to tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.serving.names import NAME, NAME_IS

__all__ = [
    "MAPPING",
    "NAMED",
    "OF_DEPLOYMENTS",
    "OF_ENDPOINTS",
    "Kinds",
    "is_mapping",
    "is_number",
    "is_text",
    "is_whole",
]

Kinds = Mapping[str, tuple[str, Any]]
"""Key to what is expected, in words, and how to tell: by a function, or by the class of a part with keys."""


def is_text(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def is_mapping(value: Any) -> bool:
    """Whether a value has keys."""
    return isinstance(value, dict)


def is_whole(value: Any, least: int, most: int) -> bool:
    """Whether a value is a whole number between two others."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any, least: float, most: float) -> bool:
    """Whether a value is a number between two others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


MAPPING = ("a mapping", is_mapping)
NAMED = (NAME_IS, lambda v: is_text(v) and NAME.fullmatch(v) is not None)
_TEXT = ("a string", is_text)
OF_ENDPOINTS: Kinds = {
    "$schema": _TEXT,
    "name": NAMED,
    "description": _TEXT,
    "tags": MAPPING,
    "auth_mode": ("key or none", lambda v: v in ("key", "none")),
}
"""The keys of an endpoint, of whatever kind."""
OF_DEPLOYMENTS: Kinds = {
    "$schema": _TEXT,
    "name": NAMED,
    "endpoint_name": NAMED,
    "description": _TEXT,
    "tags": MAPPING,
    "flow": ("the path of a flow's folder", is_text),
    "model": (
        "the address of a model in MLflow, as in models:/name@champion",
        lambda v: is_text(v) and v.startswith(("models:/", "runs:/")),
    ),
    "variants": (
        "variants by node, as in {answer: variant_1}",
        lambda v: is_mapping(v) and all(is_text(item) for item in v.values()),
    ),
    "connections": (
        "a mapping of mappings by node",
        lambda v: is_mapping(v) and all(is_mapping(item) for item in v.values()),
    ),
    "init": MAPPING,
}
"""The keys of a deployment, of whatever kind its endpoint is: what it is called, and what is loaded."""
