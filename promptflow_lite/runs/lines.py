"""Which lines does a run have? As many as its data gives, told apart by number and repeat."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from promptflow_lite.runs.job import Line
from promptflow_lite.runs.records import Key

__all__ = ["Lines"]


class Lines:
    """The lines of a run, in order; read anew by whoever iterates."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def keys(self) -> Container[Key]:
        """What the lines are told by."""
        return {line.key for line in self._lines}
