"""What may a key of a file hold? The kinds of values that flow files and front matters have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ANY", "FLAG", "INPUT", "LIST", "MAPPING", "TEXT", "TEXTS", "Kind", "one_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key may hold."""

    words: str
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def one_of(*choices: str) -> Kind:
    """One of these words."""
    return Kind(f"one of {', '.join(choices)}", lambda value: value in choices, choices)


ANY = Kind("anything", lambda value: True)
TEXT = Kind("a string", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
MAPPING = Kind("a mapping", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
TEXTS = Kind(
    "a list of strings", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value)
)

INPUT = {
    "type": TEXT,
    "default": ANY,
    "description": TEXT,
    "is_chat_input": FLAG,
    "is_chat_history": FLAG,
    "enum": LIST,
}
"""The keys of an input, in a flow file, a flex file and in the front matter of a .prompty."""
