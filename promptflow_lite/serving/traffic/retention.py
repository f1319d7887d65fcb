"""How long are requests kept? So many days, and of those so many megabytes; what is older goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

__all__ = ["Retention", "Segment", "overdue", "sweep"]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FILE = re.compile(r"(?:all|[0-9]{2}|[0-9]{2}\.[0-9]{2})-[0-9]+-[0-9a-f]{8}\.jsonl")
"""Only what a collector has written is ever deleted."""
_DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is kept of a deployment's requests; 0 is no limit."""

    days: float = 30
    megabytes: int = 1024
    """Of all its files together; the oldest go first."""

    @property
    def most_bytes(self) -> int | None:
        """The same in bytes; `None` is no limit."""
        return self.megabytes * 1024 * 1024 or None


class Segment(NamedTuple):
    """A file of requests."""

    path: Path
    written: float
    """When that was, the last time; seconds since the epoch."""
    size: int
    """Bytes."""


def overdue(segments: Iterable[Segment], retention: Retention, now: float) -> list[Segment]:
    """Those that are kept no longer, the newest first; `now` in seconds since the epoch."""
    oldest = now - retention.days * _DAY_S if retention.days else 0.0
    room = retention.most_bytes
    total, gone = 0, []
    for segment in sorted(segments, key=lambda one: (-one.written, one.path)):
        total += segment.size
        if segment.written < oldest or (room is not None and total > room):
            gone.append(segment)
    return gone


def sweep(folder: Path, retention: Retention, now: float) -> list[Segment]:
    """Delete what is overdue under the folder of a deployment; what that was.

    Several processes may do so at once.

    Raises:
        OSError: a file cannot be deleted.
    """
    gone = overdue(_segments(folder), retention, now)
    today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    for segment in gone:
        segment.path.unlink(missing_ok=True)
    for day in {segment.path.parent for segment in gone}:
        if day.name < today:  # nobody is about to write there
            with suppress(OSError):  # there are others in it
                day.rmdir()
    return gone


def _segments(folder: Path) -> Iterator[Segment]:
    for path in folder.glob("*/*.jsonl"):
        if _DAY.fullmatch(path.parent.name) and _FILE.fullmatch(path.name):
            with suppress(FileNotFoundError):  # another process was faster
                facts = path.stat()
                yield Segment(path, facts.st_mtime, facts.st_size)
