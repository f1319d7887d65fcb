"""What does a run ask of the disk? Few things, in one place, so that a test can be a disk that fails.

What POSIX promises, and no more: bytes survive power loss once their file is fsynced, a name (a new file, a
rename) once its folder is. An fsync that failed is never tried again, for the page cache may have dropped the
data in silence (Rebello et al. 2020, "Can applications recover from fsync failures?").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["DISK", "Disk"]

_CHUNK = 64 * 1024


class Disk:
    """The disk of this machine. Every method may raise an OSError, such as `ENOSPC` or `EIO`."""

    def open(self, path: Path) -> int:
        """A handle to write to; the file is made if it is absent, and keeps what it holds."""
        return os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, handle: int, content: bytes) -> None:
        """Write all of `content` where the handle stands."""
        written = os.write(handle, content)
        while written < len(content):
            written += os.write(handle, memoryview(content)[written:])

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to `size` bytes, and stand at its end."""
        os.ftruncate(handle, size)
        os.lseek(handle, size, os.SEEK_SET)

    def sync(self, handle: int) -> None:
        """Have the bytes of a file survive power loss."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Let go of a handle."""
        os.close(handle)

    def replace(self, new: Path, old: Path) -> None:
        """Give the file `new` the name `old`, in one step, to survive power loss."""
        new.replace(old)
        self.sync_folder(old.parent)

    def sync_folder(self, folder: Path) -> None:
        """Have the names in a folder survive power loss."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def write_file(self, path: Path, parts: Iterable[bytes]) -> None:
        """Replace a file: the old one or the whole new one is there at any instant.

        Args:
            path: the file.
            parts: what it shall hold, in pieces.
        """
        new = path.with_name(path.name + ".new")
        handle = self.open(new)
        try:
            self.truncate(handle, 0)
            for chunk in _chunks(parts):
                self.write(handle, chunk)
            self.sync(handle)
        except BaseException:
            with suppress(OSError):  # half a file is of no use, and takes room
                new.unlink()
            raise
        finally:
            self.close(handle)
        self.replace(new, path)


DISK = Disk()


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    yield bytes(held)
