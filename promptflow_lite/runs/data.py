"""Which rows are in a data file? JSON Lines, JSON, CSV and TSV, read strictly, every complaint at once.

A file is read whole before the first line runs, so that a bad record is found before anything is paid for.
BOM, CRLF and blank lines are fine; NaN, broken UTF-8, ragged rows and duplicate headers are not. Nothing is
guessed: cells of CSV and TSV stay text (Prompt flow: pandas with `dtype=object`), and a key that a row lacks
is missing, not "nan".
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.runs.records import DECODER, loads

__all__ = ["Row", "Table", "digest", "read"]

Row = dict[str, Any]

_LARGEST_CELL = 64 * 1024 * 1024
_SHOWN = 20
_NOT_READ = {
    ".parquet": "a Parquet file",
    ".xlsx": "a spreadsheet",
    ".gz": "a compressed file",
    ".zip": "a compressed file",
}
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class Table:
    """Rows by line number, and where each was written."""

    rows: Mapping[int, Row]
    """In the file's order."""
    name: str
    """What a message calls the whole: a file, or a run."""
    place: Callable[[int], str]
    """Where the row of a line number stands, as `file:line`."""

    def columns(self) -> list[str]:
        """The keys of all rows, in order of first appearance."""
        return list(dict.fromkeys(key for row in self.rows.values() for key in row))


def read(path: Path) -> Table:
    """The rows of a file, or of every file of a folder, one after the other.

    Args:
        path: `.jsonl`, `.json` (a list), `.csv` or `.tsv`; any other file is read as JSON Lines. In a folder,
            hidden files are left out and the others are read in the order of their names.

    Raises:
        InputError: `data-not-found`, or `bad-data` with every bad record and its physical line.
    """
    complaints = _Complaints()
    rows: list[Row] = []
    places: list[tuple[Path, int]] = []
    for file in _files(path):
        for line, row in _rows(file, complaints):
            rows.append(row)
            places.append((file, line))
    complaints.give_up()
    if not rows:
        raise InputError(f"{path}: there are no rows", code="bad-data")
    numbers = _numbers(rows, places, complaints)
    complaints.give_up()
    where = places if numbers is None else dict(zip(numbers, places, strict=True))
    return Table(
        rows=dict(zip(numbers or range(len(rows)), rows, strict=True)),
        name=str(path),
        place=lambda number: "{}:{}".format(*where[number]),
    )


def digest(path: Path) -> str:
    """The SHA-256 of a data file, or of the names and contents of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for inside in _files(path):
        whole.update(f"{inside.relative_to(path)}\0{digest(inside)}\n".encode())
    return whole.hexdigest()


class _Complaints:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.count = 0

    def add(self, file: Path, line: int, text: str) -> None:
        self.count += 1
        if len(self.texts) < _SHOWN:
            self.texts.append(f"{file}:{line}: {text}")

    def give_up(self) -> None:
        """Raise what was collected, if anything was."""
        if self.count:
            more = [f"... and {self.count - len(self.texts)} more"] if self.count > len(self.texts) else []
            raise InputError("\n".join([*self.texts, *more]), code="bad-data")


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


def _rows(file: Path, complaints: _Complaints) -> Iterator[tuple[int, Row]]:
    suffix = file.suffix.lower()
    if suffix in _NOT_READ:
        raise InputError(
            f"{file}: {_NOT_READ[suffix]} is not read; expected .jsonl, .json, .csv or .tsv", code="bad-data"
        )
    content = file.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{file}:1: the file is UTF-16; save it as UTF-8", code="bad-data")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if suffix == ".json":
        return _json_rows(file, content, complaints)
    if suffix in (".csv", ".tsv"):
        return _table_rows(file, content, "," if suffix == ".csv" else "\t", complaints)
    return _jsonl_rows(file, content, complaints)


def _jsonl_rows(file: Path, content: bytes, complaints: _Complaints) -> Iterator[tuple[int, Row]]:
    for line, text in enumerate(content.split(b"\n"), start=1):
        if not text or text.isspace():
            continue
        try:
            row = loads(text)
        except ValueError as error:
            complaints.add(file, line, _reason(error))
            continue
        if isinstance(row, dict):
            yield line, row
        else:
            complaints.add(file, line, f"expected a JSON object, got {_kind(row)}")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (column {error.colno})"
    return f"not JSON: {error}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


def _text(file: Path, content: bytes, complaints: _Complaints) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        complaints.add(file, line, f"not UTF-8: byte 0x{content[error.start]:02x}; save the file as UTF-8")
        return None


def _json_rows(file: Path, content: bytes, complaints: _Complaints) -> Iterator[tuple[int, Row]]:
    text = _text(file, content, complaints)
    if text is None:
        return
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        complaints.add(
            file, text.count("\n", 0, at) + 1, "expected a list of objects (or name the file .jsonl)"
        )
        return
    at, line, seen = _skip(text, at + 1), 1, 0
    closed = text[at : at + 1] == "]"
    while not closed:
        line, seen = line + text.count("\n", seen, at), at
        try:
            row, at = DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            complaints.add(file, error.lineno, _reason(error))
            return
        except (ValueError, RecursionError) as error:
            complaints.add(file, line, f"not JSON: {error}")
            return
        if isinstance(row, dict):
            yield line, row
        else:
            complaints.add(file, line, f"expected a JSON object, got {_kind(row)}")
        at = _skip(text, at)
        closed = text[at : at + 1] == "]"
        if closed:
            break
        if text[at : at + 1] != ",":
            complaints.add(file, text.count("\n", 0, at) + 1, "not JSON: expected ',' or ']'")
            return
        at = _skip(text, at + 1)
    at = _skip(text, at + 1)
    if at < len(text):
        complaints.add(file, text.count("\n", 0, at) + 1, "not JSON: something follows the list")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _table_rows(
    file: Path, content: bytes, delimiter: str, complaints: _Complaints
) -> Iterator[tuple[int, Row]]:
    text = _text(file, content, complaints)
    if text is None:
        return
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        yield from _cells(file, text, delimiter, complaints)
    finally:
        csv.field_size_limit(before)


def _cells(file: Path, text: str, delimiter: str, complaints: _Complaints) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
                _check_header(file, start, header, complaints)
            elif len(cells) != len(header):
                complaints.add(file, start, f"{len(cells)} cells; the header has {len(header)}")
            else:
                yield start, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        complaints.add(file, line, f"not {'CSV' if delimiter == ',' else 'TSV'}: {error}")


def _check_header(file: Path, line: int, header: list[str], complaints: _Complaints) -> None:
    for name in dict.fromkeys(name for name in header if header.count(name) > 1):
        complaints.add(file, line, f"the column {name!r} is there {header.count(name)} times")
    if any(not name.strip() for name in header):
        complaints.add(file, line, f"column {[not n.strip() for n in header].index(True) + 1} has no name")


def _numbers(rows: list[Row], places: list[tuple[Path, int]], complaints: _Complaints) -> list[int] | None:
    """The values of a `line_number` column, where there is one (Prompt flow joins by it)."""
    if not any("line_number" in row for row in rows):
        return None
    numbers: list[int] = []
    seen: dict[int, tuple[Path, int]] = {}
    for row, (file, line) in zip(rows, places, strict=True):
        value = row.get("line_number")
        number = _number(value)
        if number is None:
            complaints.add(file, line, f"line_number: expected a whole number, got {value!r}")
        elif number in seen:
            complaints.add(file, line, "line_number: {} is also on {}:{}".format(number, *seen[number]))
        else:
            seen[number] = (file, line)
            numbers.append(number)
    return numbers


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None
