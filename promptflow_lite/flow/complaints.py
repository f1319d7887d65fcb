"""What is wrong with a file? Its keys held against what they may hold, every complaint with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.errors import Diagnostic, near_miss
from promptflow_lite.flow.kinds import Kind
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import Document, KeyPath

__all__ = ["Complaints", "shown"]


class Complaints:
    """What is wrong with a document, collected."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.found: list[Diagnostic] = []

    def add(self, code: str, message: str, path: KeyPath, hint: str | None = None) -> None:
        """Complain about what stands under `path`."""
        self.found.append(Diagnostic(code, message, self._document.at(*path), hint))

    def fields(self, data: Any, kinds: Mapping[str, Kind], path: KeyPath, noun: str) -> dict[str, Any]:
        """The known keys of `data` that hold what they may; a key that holds nothing is left out."""
        if data is None:
            return {}
        if not isinstance(data, dict):
            self.add("wrong-type", f"{noun} is a mapping, got {shown(data)}", path)
            return {}
        kept: dict[str, Any] = {}
        for key, value in data.items():
            kind = kinds.get(key) if isinstance(key, str) else None
            if kind is None:
                hint: str | None = near_miss(str(key), kinds) or f"{noun} has the keys {', '.join(kinds)}"
                self.add("unknown-key", f"{noun} has no key {str(key)!r}", (*path, key), hint)
            elif value is not None and kind.accepts(value):
                kept[key] = value
            elif value is not None:
                hint = near_miss(str(value), kind.choices)
                self.add("wrong-type", f"expected {kind.words}, got {shown(value)}", (*path, key), hint)
        return kept

    def entries(self, data: Mapping[Any, Any], path: KeyPath) -> dict[str, tuple[Any, KeyPath]]:
        """The entries of a mapping from names to bodies, each with its path."""
        return {str(key): (value, (*path, key)) for key, value in data.items()}

    def missing(self, key: str, noun: str, path: KeyPath) -> None:
        """Complain that a key is not there."""
        self.add("missing-key", f"{noun} needs the key {key!r}", path)

    def reference(self, value: Any, path: KeyPath) -> Any:
        """`value`, as a `Ref` if it is written as one."""
        if not Ref.is_reference(value):
            return value
        try:
            return Ref.in_flow(value)
        except ValueError as error:
            self.add("bad-reference", str(error), path)
            return value


def shown(value: Any) -> str:
    """A value for a message, cut."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
