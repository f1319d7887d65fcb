"""How far is a run that another process executes? What its journal holds by now, read on bit by bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.runs.records import Key, decode, key_of, loads
from promptflow_lite.tools.scope import Usage

__all__ = ["Following", "FollowingAll"]


@dataclass
class Following:
    """The records that a growing journal has so far.

    Args:
        path: the journal; it need not be there yet.
    """

    path: Path
    completed: int = 0
    usage: Usage = field(default_factory=Usage)
    """What models counted, failed lines and those that ran again too."""
    failed: set[Key] = field(default_factory=set)
    """Lines whose last record says that they failed; few, so they are held."""
    _at: int = 0

    def read(self) -> Iterator[LineResult]:
        """Go on to the end of the journal, record by record."""
        if not self.path.exists():
            return
        if self.path.stat().st_size < self._at:  # a cut record was taken away when the run went on
            self.completed, self.usage, self._at = 0, Usage(), 0
            self.failed.clear()
        with self.path.open("rb") as journal:
            journal.seek(self._at)
            for line in journal:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                try:
                    record = loads(line)
                    result = decode(record)
                except (ValueError, KeyError, TypeError):
                    continue
                self._count(result, key_of(record))
                yield result

    def _count(self, result: LineResult, key: Key) -> None:
        self.usage.add(result.usage)
        if result.status is Status.Completed:
            self.completed += 1
            self.failed.discard(key)
        else:
            self.failed.add(key)


class FollowingAll:
    """The records that the growing journals of several runs have so far, such as those of a sweep.

    Args:
        paths: the journals; none need be there yet.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._each = [Following(path) for path in paths]

    def read(self) -> Iterator[LineResult]:
        """Go on to the end of each journal, record by record."""
        for one in self._each:
            yield from one.read()

    @property
    def completed(self) -> int:
        """Lines that completed."""
        return sum(one.completed for one in self._each)

    @property
    def failed(self) -> int:
        """Lines whose last record says that they failed."""
        return sum(len(one.failed) for one in self._each)

    @property
    def usage(self) -> Usage:
        """What models counted."""
        total = Usage()
        for one in self._each:
            total.add(one.usage)
        return total
