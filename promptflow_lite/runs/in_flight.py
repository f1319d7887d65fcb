"""Which lines were under way when the process died? Marks that outlive it, a few bytes a line.

A tool that crashes the interpreter takes a run of one process with it. When that run goes on, the lines that
were in flight are suspects, and run where they do no harm: last, and in a process of their own. The marks are
written and not fsynced: they tell of this process's death, not of the machine's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from promptflow_lite.runs.records import Key

__all__ = ["InFlight"]

_WIDTH = 24


class InFlight:
    """The lines that are under way, each in a row of a file that has a row for as many as were so at once.

    Args:
        path: the file, made anew.
        suspects: lines that stay marked until they have a record.
    """

    def __init__(self, path: Path, suspects: Iterable[Key] = ()) -> None:
        self._path = path
        self._suspects = set(suspects)
        self._rows = {key: row for row, key in enumerate(self._suspects)}
        self._free: list[int] = []
        _write(path, self._rows)
        self._file = os.open(path, os.O_WRONLY)

    @staticmethod
    def read(path: Path) -> set[Key]:
        """The lines that a process which is gone had under way; none where it ended in an orderly way.

        Some of them may have been done: those have a record.
        """
        if not path.is_file():
            return set()
        found = set()
        for row in path.read_bytes().split(b"\n"):
            with suppress(ValueError):
                number, repeat = row.split()
                found.add((int(number), int(repeat)))
        return found

    def begin(self, key: Key) -> None:
        """Mark a line."""
        row = self._rows[key] = self._free.pop() if self._free else len(self._rows)
        os.pwrite(self._file, _row(key), row * _WIDTH)

    def end(self, key: Key) -> None:
        """The line has a record: its row is free for another, and tells nothing until then."""
        row = self._rows.pop(key, None)
        self._suspects.discard(key)
        if row is not None:
            self._free.append(row)

    def close(self) -> None:
        """The process ends in an orderly way: only who was a suspect before is one still."""
        os.close(self._file)
        if not self._suspects:
            self._path.unlink(missing_ok=True)
            return
        with suppress(OSError):
            _write(self._path, self._suspects)


def _write(path: Path, keys: Iterable[Key]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(b"".join(map(_row, keys)))
    new.replace(path)


def _row(key: Key) -> bytes:
    return (b"%d %d" % key).ljust(_WIDTH - 1) + b"\n"
