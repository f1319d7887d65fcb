"""Which lines are done, and safe? The append-only journal: one whole record a line, fsynced in groups.

A record counts only once it is on the disk: `on_safe` is called after the group's fsync, never before. A
record that was cut (a kill, a full disk, power loss) is dropped when the journal is next read, and its line
is simply not done.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.runs.disk import DISK, Disk
from promptflow_lite.runs.records import Key, encode, key_of, loads

__all__ = ["Entry", "Journal", "Records"]

_GROUP = 128
"""Records that share an fsync at most by waiting for it; what comes during one joins the next. An fsync and
its thread take some 0.4 ms of CPU: with 20 records it was 0.02 ms a line where a thousand end in a second."""
_GROUP_S = 0.1
"""Seconds a record waits at most for others to share its fsync."""
_ROOM = 1024
"""Records that may wait for the disk before whoever adds them has to wait too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a record stands, and how its line ended."""

    offset: int
    length: int
    status: Status


@dataclass
class Records:
    """The records of a journal, by line; the last record of a line counts."""

    path: Path
    entries: dict[Key, Entry] = field(default_factory=dict)
    end: int = 0
    """The byte after the last whole record."""
    broken: list[int] = field(default_factory=list)
    """Lines of the file, from 1, that are no records though whole ones come after them."""
    torn: int = 0
    """Pieces at the end of the file that are no whole record, as a kill or a power cut leaves them."""

    @classmethod
    def read(cls, path: Path) -> Records:
        """What stands in a journal; an absent file is an empty one."""
        records = cls(path)
        if not path.exists():
            return records
        at, unread = 0, list[int]()
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if records._note(at, line):
                    records.broken += unread
                    unread.clear()
                else:
                    unread.append(number)
                at += len(line)
        records.torn = len(unread)
        return records

    def _note(self, at: int, line: bytes) -> bool:
        try:
            if not line.endswith(b"\n"):
                raise ValueError("cut")
            record = loads(line)
            key, status = key_of(record), Status(record["status"])
        except (ValueError, KeyError, TypeError):
            return False
        self.entries[key] = Entry(at, len(line), status)
        self.end = at + len(line)
        return True

    @property
    def are_repeated(self) -> bool:
        """Whether a line has more than its first repeat."""
        return any(repeat for _, repeat in self.entries)

    def keys(self, *statuses: Status) -> list[Key]:
        """The lines that ended in one of `statuses` (any, if none is named), in order."""
        return sorted(key for key, entry in self.entries.items() if not statuses or entry.status in statuses)

    def each(self, *statuses: Status) -> Iterator[dict[str, Any]]:
        """The records in order of line number, read one at a time."""
        return (loads(raw) for raw in self.raw(*statuses))

    def raw(self, *statuses: Status) -> Iterator[bytes]:
        """The records as they stand, in order of line number."""
        with self.path.open("rb") if self.entries else _nothing() as file:
            for key in self.keys(*statuses):
                entry = self.entries[key]
                file.seek(entry.offset)
                yield file.read(entry.length)


def _nothing() -> Any:
    return open(os.devnull, "rb")  # noqa: PTH123


class Journal:
    """Appends results to a journal that is open for this process alone (the run's lock sees to that).

    A record is written when it is added, so that a killed process loses none, and fsynced with others in a
    thread, so that power loss takes none that was told of.

    Args:
        path: the file; made if it is absent. A cut record at its end is removed.
        on_safe: called on the loop with each result once it is on the disk.
        redact: applied to each record before it is written.
        disk: what it is written to.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_safe: Callable[[LineResult], None],
        redact: Callable[[bytes], bytes] | None = None,
        disk: Disk = DISK,
    ) -> None:
        self._disk = disk
        self.records = Records.read(path)
        self._on_safe = on_safe
        self._redact = redact
        self._file = disk.open(path)
        self._end = self.records.end
        disk.truncate(self._file, self._end)
        disk.sync_folder(path.parent)
        self._written: list[tuple[LineResult, Entry]] = []
        self._group: list[tuple[LineResult, Entry]] = []
        self._syncing: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._failed: Exception | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "journal")

    async def add(self, result: LineResult) -> None:
        """Write a result; returns at once unless the disk is far behind.

        Raises:
            OSError: the disk refused this or an earlier record; nothing more is written.
        """
        while self._failed is None and len(self._written) >= _ROOM:
            await self._change()
        if self._failed is not None:
            raise self._failed
        record = encode(result)
        self._write(self._redact(record) if self._redact else record, result)
        if self._syncing is None:
            if len(self._written) >= _GROUP:
                self._sync()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_GROUP_S, self._sync)

    async def drain(self) -> None:
        """Wait until every result that was added is safe.

        Raises:
            OSError: the disk refused.
        """
        while self._failed is None and (self._written or self._syncing is not None):
            if self._syncing is None:
                self._sync()
            await self._change()
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Make safe what was added, and close the file; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()
        try:
            self._settle()
            if self._written and self._failed is None:
                self._group, self._written = self._written, []
                self._disk.sync(self._file)
                self._note()
        finally:
            self._disk.close(self._file)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _write(self, record: bytes, result: LineResult) -> None:
        try:
            self._disk.write(self._file, record)
        except OSError as error:
            self._failed = error
            with suppress(OSError):  # whoever reads it next would drop the cut record anyway
                self._disk.truncate(self._file, self._end)
            raise
        self._written.append((result, Entry(self._end, len(record), result.status)))
        self._end += len(record)

    def _sync(self) -> None:
        """Have what is written fsynced in the thread: that takes milliseconds the loop can use."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._written or self._failed is not None:
            return
        self._group, self._written = self._written, []
        self._syncing = self._thread.submit(self._disk.sync, self._file)
        loop = asyncio.get_running_loop()
        self._syncing.add_done_callback(lambda _: _call(loop, self._synced))

    def _synced(self) -> None:
        self._settle()
        self._changed.set()
        if len(self._written) >= _GROUP:
            self._sync()
        elif self._written and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_GROUP_S, self._sync)

    def _settle(self) -> None:
        """Take note of what the thread has done; whoever comes first, the loop or `close`."""
        if self._syncing is None:
            return
        error, self._syncing = self._syncing.exception(), None
        if error is None:
            try:
                self._note()
            except Exception as bug:  # of whoever listens: who adds or drains next gets to know
                self._failed = bug
        elif isinstance(error, OSError):
            # A failed fsync is not tried again: the page cache may have dropped the data in silence.
            self._failed = error
        else:
            raise error

    def _note(self) -> None:
        group, self._group = self._group, []
        for result, entry in group:
            if result.line_number is not None:
                self.records.entries[result.line_number, result.repeat] = entry
            self.records.end = entry.offset + entry.length
            self._on_safe(result)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: `close` settles
        loop.call_soon_threadsafe(function)
