"""Which rows are in the data? Files checked whole before the first line runs, then read again as a stream.

BOM, CRLF and blank lines are fine; NaN, broken UTF-8, ragged rows and duplicate keys are not. Every complaint
comes at once, with its physical line. A key that a row lacks is missing, not "nan".
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.errors import InputError
from promptflow_lite.runs.formats import records_of
from promptflow_lite.runs.rows import Record, Row
from promptflow_lite.runs.streams import unreadable

__all__ = ["Data", "Look", "Placed", "Row", "complain", "digest", "read"]

_SHOWN = 20
_SHAPES = 1000

Look = Callable[[Mapping[str, int], int], Iterable[str]]
"""What is wrong with the columns: of so many rows each is in so many."""


class Placed(NamedTuple):
    """A row, its line number, and where it stands."""

    number: int
    row: Row
    file: str
    line: int

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Data:
    """Rows that were checked; they are read from the file whenever they are asked for."""

    name: str
    """What a message calls the whole."""
    files: Sequence[Path]
    numbers: Sequence[int]
    """The line numbers of the rows, in the file's order: a range, or what a `line_number` column says."""
    columns: Mapping[str, int]
    """How many rows have each column, in order of first appearance."""
    bad: Mapping[int, str]
    """Bad records that are left out, by line number."""
    notes: Sequence[str]
    """What a person should be told: bad records that are left out."""
    _stamps: Sequence[tuple[int, int]]

    def rows(self) -> Iterator[Placed]:
        """The rows in the file's order.

        Raises:
            InputError: the files are not those that were checked (code `data-changed`).
        """
        if [_stamp(file) for file in self.files] != list(self._stamps):
            raise _changed(self.name)
        at, ordinal = 0, -1
        for file in self.files:
            name = str(file)
            for record in records_of(file, is_checked=not self.notes):
                ordinal += 1
                if record.row is None:
                    continue
                if at == len(self.numbers):
                    raise _changed(self.name)
                yield Placed(self.numbers[at], record.row, name, record.line)
                at += 1
        if at < len(self.numbers):
            raise _changed(self.name)


def read(path: Path, *, skip_bad: bool = False, look: Look | None = None) -> Data:
    """The checked rows of a file, or of every file of a folder, one after the other.

    Args:
        path: `.jsonl`, `.json` (a list), `.csv`, `.tsv` or `.parquet`, also compressed; any other file is
            read as JSON Lines. In a folder, hidden files are left out and the others are read in the order of
            their names.
        skip_bad: leave bad records out instead of refusing the data; each keeps its number, so that the rows
            behind it keep theirs.
        look: is asked about the columns where records are bad, so that both are told at once.

    Raises:
        InputError: `data-not-found`, or `bad-data` with every bad record and its physical line.
    """
    files = _files(path)
    survey = _Survey(skip_bad)
    stamps = [_stamp(file) for file in files]
    for file in files:
        for record in records_of(file):
            survey.add(file, record)
    return survey.done(path, files, stamps, look)


def digest(path: Path) -> str:
    """The SHA-256 of a data file, or of the names and contents of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for inside in _files(path):
        whole.update(f"{inside.relative_to(path)}\0{digest(inside)}\n".encode())
    return whole.hexdigest()


def complain(complaints: Sequence[str], count: int, code: str) -> None:
    """Raise the first of `count` complaints, if there are any."""
    if count:
        shown = list(complaints[:_SHOWN])
        more = [f"... and {count - len(shown)} more"] if count > len(shown) else []
        raise InputError("\n".join([*shown, *more]), code=code)


class _Survey:
    """What is learned of the data at its first reading: no row of it is kept."""

    def __init__(self, skip_bad: bool) -> None:
        self._skip_bad = skip_bad
        self._columns: Counter[str] = Counter()
        self._shapes: Counter[tuple[str, ...]] = Counter()
        """Rows by their keys, which are few: counted so, a row costs less than its keys do."""
        self._ordinal = 0
        """Records so far, bad ones too."""
        self._rows = 0
        self._bad: dict[int, str] = {}
        self._complaints: list[str] = []
        self._count = 0
        self._numbers = _Numbers()

    def add(self, file: Path, record: Record) -> None:
        """Take note of a record."""
        row = record.row
        if row is None:
            self._note(f"{file}:{record.line}: {record.complaint}", final=record.final)
            self._ordinal += not record.final
            return
        self._shapes[tuple(row)] += 1
        if len(self._shapes) > _SHAPES:
            self._count_columns()
        if "line_number" in row:
            self._numbers.add(row, f"{file}:{record.line}")
        else:
            self._numbers.lack(file, record.line)
        self._rows += 1
        self._ordinal += 1

    def _count_columns(self) -> None:
        for shape, count in self._shapes.items():
            for column in shape:
                self._columns[column] += count
        self._shapes.clear()

    def _note(self, text: str, *, final: bool) -> None:
        if self._skip_bad and not final:
            self._bad[self._ordinal] = text
            return
        self._count += 1
        if len(self._complaints) < _SHOWN:
            self._complaints.append(text)

    def done(
        self, path: Path, files: Sequence[Path], stamps: Sequence[tuple[int, int]], look: Look | None
    ) -> Data:
        """The data, if it is sound.

        Raises:
            InputError: it is not; every complaint at once.
        """
        self._count_columns()
        if self._count:
            more = list(look(dict(self._columns), self._rows)) if look is not None and self._rows else []
            complain([*more, *self._complaints], self._count + len(more), "bad-data")
        if not self._rows:
            why = f"; {len(self._bad)} bad records are left out" if self._bad else ""
            raise InputError(f"{path}: there are no rows{why}", code="bad-data")
        named, complaints, count = self._numbers.done()
        complain(complaints, count, "bad-data")
        dense = not self._bad and named is None
        numbers = named or (range(self._rows) if dense else self._numbers.ordinals(self._bad, self._ordinal))
        return Data(
            str(path),
            files,
            numbers,
            dict(self._columns),
            {} if named else self._bad,
            _said(path, self._bad),
            stamps,
        )


def _said(path: Path, bad: Mapping[int, str]) -> list[str]:
    if not bad:
        return []
    shown = list(bad.values())[:_SHOWN]
    more = [f"... and {len(bad) - len(shown)} more"] if len(bad) > len(shown) else []
    return ["\n  ".join([f"{len(bad)} bad records of {path} are left out:", *shown, *more])]


class _Numbers:
    """The values of a `line_number` column, where there is one (Prompt flow joins by it)."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._seen: set[int] | None = None
        """Only once a number is not above the one before it."""
        self._complaints: list[str] = []
        self._count = 0
        self._lacking: list[str] = []
        self._lacks = 0

    def lack(self, file: Path, line: int) -> None:
        """Take note of a row without a number."""
        self._lacks += 1
        if len(self._lacking) < _SHOWN:
            self._lacking.append(f"{file}:{line}: line_number: there is none, while other rows have one")

    def add(self, row: Row, place: str) -> None:
        """Take note of a row's number."""
        value = row["line_number"]
        number = _number(value)
        if number is None:
            self._complain(f"{place}: line_number: expected a whole number, got {value!r}")
        elif self._is_new(number):
            self._numbers.append(number)
        else:
            self._complain(f"{place}: line_number: {number} is there already")

    def _is_new(self, number: int) -> bool:
        if self._seen is None:
            if not self._numbers or number > self._numbers[-1]:
                return True
            self._seen = set(self._numbers)
        if number in self._seen:
            return False
        self._seen.add(number)
        return True

    def _complain(self, text: str) -> None:
        self._count += 1
        if len(self._complaints) < _SHOWN:
            self._complaints.append(text)

    def done(self) -> tuple[Sequence[int] | None, list[str], int]:
        """The numbers (`None`: there is no such column), and what is wrong with them."""
        if not self._numbers and not self._count:
            return None, [], 0
        return self._numbers, [*self._complaints, *self._lacking], self._count + self._lacks

    @staticmethod
    def ordinals(bad: Mapping[int, str], count: int) -> Sequence[int]:
        """The places of the rows among `count` records."""
        return array("q", (ordinal for ordinal in range(count) if ordinal not in bad))


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return None


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise unreadable(file, error) from error
    return status.st_size, status.st_mtime_ns


def _changed(name: str) -> InputError:
    return InputError(f"{name} has changed since the run was started", code="data-changed")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        shown = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if not shown:
            raise InputError(f"{path}: the folder holds no data file", code="data-not-found")
        return shown
    if not path.is_file():
        raise InputError(f"{path}: there is no such file", code="data-not-found")
    return [path]
