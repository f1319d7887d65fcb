"""What do the worker processes of a run know of each other's limits? A small file that all of them map.

The monotonic clock is one for all processes of a machine, so its times mean the same to each. Where files
cannot be locked (Windows) there is no board, and each process learns for itself.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import MutableSequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from promptflow_lite.tools.limit import FIELDS

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]  # Windows

__all__ = ["Board"]

_PLACES = 64
"""Models that one run asks; those beyond are not shared."""
_ROW = 8 * (1 + FIELDS)


class Board:
    """A file with a row of floats for each model.

    Args:
        folder: where it is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = os.open(folder / "limits", os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._file).st_size < _PLACES * _ROW:
            os.ftruncate(self._file, _PLACES * _ROW)
        self._map = mmap.mmap(self._file, _PLACES * _ROW)
        self._floats = memoryview(self._map).cast("d")

    @classmethod
    def open(cls, folder: str | None) -> Board | None:
        """The board of a run's processes; `None` where there is no folder, or no lock."""
        return None if folder is None or fcntl is None else cls(Path(folder))

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Holds the others off."""
        return _Locked(self._file)

    def row(self, key: tuple[Any, ...]) -> MutableSequence[float] | None:
        """The floats of one model; `None` where there is no place left."""
        digest = hashlib.sha256(repr(key).encode()).digest()  # it holds a secret, of which nothing is written
        name = float(struct.unpack("<Q", digest[:8])[0] >> 12) + 1
        with self.lock:
            for place in range(_PLACES):
                at = place * (1 + FIELDS)
                if not self._floats[at]:
                    self._floats[at] = name
                if self._floats[at] == name:
                    return self._floats[at + 1 : at + 1 + FIELDS]  # type: ignore[return-value]  # a view
        return None


class _Locked:
    """A lock on a file, for processes that each open it themselves."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
