"""What stands in a YAML file, and where? Text to plain data, with the position of every key.

Safe by construction: YAML 1.2, no tags, limits on size, depth and aliases, and duplicate keys are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptflow_lite.errors import Mark

__all__ = ["Document"]

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data with marks."""

    file: str
    data: Any
    marks: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    """Key path to (line, column) of the key (of the item, for sequences), both counted from 1."""

    @classmethod
    def empty(cls) -> Document:
        """A document of no file, for flows that are made in Python."""
        return cls(file="", data={})

    def at(self, *path: str | int) -> Mark:
        """The mark of the longest known prefix of `path`."""
        known = path
        while known and known not in self.marks:
            known = known[:-1]
        line, column = self.marks.get(known, (1, 1))
        return Mark(self.file, line, column, print_path(path))


def print_path(path: KeyPath) -> str:
    """A key path as a person writes it.

    >>> print_path(("nodes", 2, "inputs", "text"))
    'nodes[2].inputs.text'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
    return text
