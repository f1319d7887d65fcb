"""A disk that remembers what it was asked, and what of it may be left after a power cut at any instant.

The model is POSIX's promise and no more: written bytes are there for sure once their file was fsynced, names
once their folder was. Before that any part of the writes of a file may be there, in any order, the last one
torn; bytes in between that are not there are zeros. Of the names the first few changes are there.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from promptflow_lite.runs.disk import Disk

__all__ = ["RecordingDisk"]


@dataclass
class _Inode:
    writes: list[tuple[int, int | None, bytes | int]] = field(default_factory=list)
    """When, where, what; for a cut: when, `None`, the size."""
    syncs: list[tuple[int, int]] = field(default_factory=list)
    """When it was done, and what came before which instant it is good for."""


class RecordingDisk(Disk):
    """The disk of this machine, with a memory. `now` counts what has happened; each may be the last."""

    def __init__(self) -> None:
        self.now = 0
        self._lock = threading.Lock()  # the journal fsyncs in a thread
        self._names: dict[Path, _Inode] = {}
        self._changes: list[tuple[int, Path, _Inode | None]] = []
        """When a name came to mean a file (`None`: none any more)."""
        self._folder_syncs: list[tuple[int, Path, int]] = []
        self._open: dict[int, tuple[_Inode, int]] = {}

    def open(self, path: Path) -> int:
        """Remember the name."""
        if path not in self._names:
            self._name(path, _Inode())
        handle = super().open(path)
        self._open[handle] = (self._names[path], 0)
        return handle

    def write(self, handle: int, content: bytes) -> None:
        """Remember the bytes."""
        super().write(handle, content)
        inode, at = self._open[handle]
        inode.writes.append((self._tick(), at, bytes(content)))
        self._open[handle] = (inode, at + len(content))

    def truncate(self, handle: int, size: int) -> None:
        """Remember the size."""
        super().truncate(handle, size)
        inode, _ = self._open[handle]
        inode.writes.append((self._tick(), None, size))
        self._open[handle] = (inode, size)

    def sync(self, handle: int) -> None:
        """Remember what is safe now."""
        inode, _ = self._open[handle]
        begun = self._tick()
        super().sync(handle)
        inode.syncs.append((self._tick(), begun))

    def replace(self, new: Path, old: Path) -> None:
        """Remember the name, which is not safe yet."""
        inode = self._names[new]
        self._name(old, inode)
        self._name(new, None)
        super().replace(new, old)

    def sync_folder(self, folder: Path) -> None:
        """Remember which names are safe now."""
        begun = self._tick()
        super().sync_folder(folder)
        self._folder_syncs.append((self._tick(), folder, begun))

    def after_power_cut(self, instant: int, chance: random.Random) -> dict[Path, bytes]:
        """What may be left of each file if the power was cut after `instant`."""
        names: dict[Path, _Inode | None] = {}
        for folder in {path.parent for _, path, _ in self._changes}:
            safe = max(
                (to for at, where, to in self._folder_syncs if where == folder and at <= instant), default=0
            )
            changes = [c for c in self._changes if c[1].parent == folder and c[0] <= instant]
            unsafe = [c for c in changes if c[0] > safe]
            kept = chance.randint(0, len(unsafe))
            for _, path, inode in [c for c in changes if c[0] <= safe] + unsafe[:kept]:
                names[path] = inode
        return {path: _content(inode, instant, chance) for path, inode in names.items() if inode is not None}

    def _name(self, path: Path, inode: _Inode | None) -> None:
        if inode is None:
            self._names.pop(path, None)
        else:
            self._names[path] = inode
        self._changes.append((self._tick(), path, inode))

    def _tick(self) -> int:
        with self._lock:
            self.now += 1
            return self.now


def _content(inode: _Inode, instant: int, chance: random.Random) -> bytes:
    safe = max((begun for done, begun in inode.syncs if done <= instant), default=0)
    content = bytearray()
    lost: Callable[[], bool] = lambda: chance.random() < 0.5  # noqa: E731
    unsafe = [write for write in inode.writes if safe < write[0] <= instant]
    for when, at, what in (write for write in inode.writes if write[0] <= instant):
        if when > safe and lost():
            continue
        if isinstance(what, int):
            del content[what:]
            content += bytes(what - len(content))
            continue
        if when > safe and (when, at, what) == unsafe[-1] and lost():
            what = what[: chance.randint(0, len(what))]
        assert at is not None
        content += bytes(max(0, at - len(content)))
        content[at : at + len(what)] = what
    return bytes(content)
