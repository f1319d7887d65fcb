"""How does a value look as text, and how much of it? Each text once, long ones cut, all of them bounded."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

__all__ = ["CUT", "Texts"]

CUT = 20_000
"""Characters of one text that a page shows; the run's folder has the rest."""
ROOM = 24_000_000
"""Characters of all texts of a page together."""

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)(;[\w=.-]+)*;base64(,.*)?", re.DOTALL)
_PLENTY = 200


class Texts:
    """The texts of a page, each kept once and told by its number.

    Inputs, prompts and outputs repeat each other: most texts of a run come again and again.

    Args:
        room: how many characters there is room for.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.kept: list[str] = []
        self.cut = 0
        """Texts that were cut."""
        self._places: dict[str, int] = {}
        self._room = room

    @property
    def is_full(self) -> bool:
        """Whether there is no more room."""
        return self._room <= 0

    def add(self, value: Any) -> int | None:
        """The number of a value's text; `None` for `None`."""
        if value is None:
            return None
        text = value if isinstance(value, str) else _pretty(_shown(value))
        text = _without_bytes(text)
        if len(text) > CUT:
            text = f"{text[:CUT]}\n… ({len(text) - CUT:,} more characters)"
            self.cut += 1
        text = text.encode("utf-8", "replace").decode()
        place = self._places.setdefault(text, len(self.kept))
        if place == len(self.kept):
            self.kept.append(text)
            self._room -= len(text)
        return place


def _pretty(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, ensure_ascii=False, indent=2)


def _shown(value: Any) -> Any:
    match value:
        case str():
            return _without_bytes(value)
        case dict():
            return {
                _without_bytes(str(key)): _size(item) if _DATA.fullmatch(str(key)) else _shown(item)
                for key, item in value.items()
            }
        case list():
            return [_shown(item) for item in value]
    return value


def _size(value: Any) -> Any:
    """What is said of an image, instead of its bytes."""
    is_long = isinstance(value, str) and len(value) > _PLENTY
    return f"({len(value) * 3 // 4:,} bytes)" if is_long else value


def _without_bytes(text: str) -> str:
    if len(text) <= _PLENTY or not text.startswith("data:"):
        return text
    match = _DATA.fullmatch(text)
    return f"data:{match[1]} ({len(match[3] or '') * 3 // 4:,} bytes)" if match else text
