"""Which records does one file hold? JSON Lines, a JSON list, CSV, TSV and Parquet, read strictly.

Nothing is guessed: cells of CSV and TSV stay text, as in Prompt flow, and a key that stands twice in an
object is an error rather than whichever came last. Files are streams: one record is held at a time.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from promptflow_lite.errors import InputError
from promptflow_lite.runs.records import loads
from promptflow_lite.runs.streams import LARGEST, encoding_hint, kind_of, lines_of, open_bytes, unreadable
from promptflow_lite.values import to_plain

__all__ = ["Record", "Row", "records_of"]

Row = dict[str, Any]

_NOT_READ = {".xlsx": "a spreadsheet", ".xls": "a spreadsheet", ".zip": "an archive", ".7z": "an archive"}
_READ = ".jsonl, .json, .csv, .tsv or .parquet, also compressed (.gz, .bz2, .xz, .zst)"
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
_SPACE = " \t\r\n"
_CHUNK = 1 << 16
_DEEPEST = 250
"""Levels of a record at most; orjson writes no more than 254."""
_BATCH = 256


class Record(NamedTuple):
    """One record of a file: its row, or what is wrong with it."""

    line: int
    """Where it begins, from 1 on; in Parquet its row."""
    row: Row | None
    complaint: str = ""
    final: bool = False
    """Whether the complaint is about the file, so that leaving the record out does not help."""


def records_of(file: Path, *, is_checked: bool = False) -> Iterator[Record]:
    """The records of a file, in its order; nothing follows a final complaint.

    Args:
        file: of one of the formats.
        is_checked: its keys are known to stand once each.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    kind = kind_of(file)
    match kind:
        case ".json":
            return _json(file)
        case ".csv" | ".tsv":
            return _cells(file, "," if kind == ".csv" else "\t")
        case ".parquet":
            return _parquet(file)
        case _ if kind in _NOT_READ:
            raise InputError(f"{file}: {_NOT_READ[kind]} is not read; expected {_READ}", code="bad-data")
        case _:
            return _json_lines(file, is_checked)


def _json_lines(file: Path, is_checked: bool) -> Iterator[Record]:
    for number, text in lines_of(file):
        if not text.isspace():
            yield _record(number, text, is_checked)


def _record(line: int, text: bytes, is_checked: bool = False) -> Record:
    try:
        value = loads(text)
        if not isinstance(value, dict):
            return Record(line, None, f"expected a JSON object, got {_kind(value)}")
        if not is_checked:
            _check(text, value)
    except (ValueError, RecursionError) as error:
        return Record(line, None, encoding_hint(text) or _reason(error, text))
    return Record(line, value)


def _reason(error: Exception, text: bytes = b"") -> str:
    if isinstance(error, json.JSONDecodeError):
        if "surrogate" in error.msg:
            return f"a lone surrogate, which is no character (column {error.colno})"
        if "recursion" in error.msg or "depth" in error.msg:
            return f"nested more than {_DEEPEST} levels deep"
        constant = next((c for c in _CONSTANTS if text.startswith(c.encode(), error.pos)), None)
        if constant is not None:
            return f"{constant} is not JSON (column {error.colno}); null is"
        return f"not JSON: {error.msg} (column {error.colno})"
    if isinstance(error, RecursionError):
        return f"nested more than {_DEEPEST} levels deep"
    return str(error) if str(error).startswith(("the key", "nested")) else f"not JSON: {error}"


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


def _check(text: bytes, row: Row) -> None:
    """That no key stands twice, and that the row is not too deep to be written again.

    A key that stood twice is gone, its colon with it: to count colons costs a tenth of reading key by key.
    """
    try:
        if orjson.dumps(row).count(b":") == text.count(b":") and b"\\u00" not in text:
            return
    except TypeError:  # a big integer, or too deep
        _check_depth(row)
    json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen.add(key)


def _check_depth(row: Row) -> None:
    level: list[Any] = [row]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} levels deep")


class _Text:
    """The text of a file, of which only the part around `at` is held."""

    def __init__(self, file: Path) -> None:
        self.at = 0
        self.line = 1
        """Of `at`."""
        self.text = ""
        self.ended = False
        self._lines = lines_of(file)
        self._bytes = open_bytes(file)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        next(self._lines, None)  # says whether it is UTF-16
        self._lines.close()  # type: ignore[attr-defined]  # a generator

    def more(self) -> bool:
        """Hold at least twice as much of what follows `at`; whether there was more.

        Raises:
            UnicodeDecodeError: it is no UTF-8.
        """
        if self.ended:
            return False
        self.text = self.text[self.at :]
        self.at = 0
        try:
            content = self._bytes.read(max(_CHUNK, len(self.text)))
        except (EOFError, OSError) as error:
            raise ValueError(f"cannot be read on from here: {error}") from error
        self.ended = not content
        self.text += self._decoder.decode(content, self.ended)
        return True

    def move(self, to: int) -> None:
        """Go on to the index `to`."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            at = self.at
            while at < len(self.text) and self.text[at] in _SPACE:
                at += 1
            self.move(at)
            if at < len(self.text):
                return self.text[at]
            if not self.more():
                return ""

    def value(self) -> str:
        """The text of the value that begins here; goes on behind it.

        Raises:
            json.JSONDecodeError: there is none.
        """
        while True:
            try:
                _, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self.text) - 16 or error.msg.startswith("Unterminated")
                if not cut or len(self.text) - self.at > LARGEST or not self.more():
                    raise
                continue
            if end == len(self.text) and self.more():
                continue
            value = self.text[self.at : end]
            self.move(end)
            return value

    def close(self) -> None:
        """Close the file."""
        self._bytes.__exit__(None, None, None)


_DECODER = json.JSONDecoder()


def _json(file: Path) -> Iterator[Record]:
    text = _Text(file)
    try:
        yield from _elements(text)
    except UnicodeDecodeError as error:
        yield Record(
            text.line + error.object.count(b"\n", 0, error.start), None, encoding_hint(error.object), True
        )
    except json.JSONDecodeError as error:
        yield Record(
            text.line + text.text.count("\n", text.at, error.pos), None, f"not JSON: {error.msg}", True
        )
    except RecursionError as error:
        yield Record(text.line, None, _reason(error), True)
    except ValueError as error:
        yield Record(text.line, None, str(error), True)
    finally:
        text.close()


def _elements(text: _Text) -> Iterator[Record]:
    if text.peek() != "[":
        raise ValueError("expected a list of objects (or name the file .jsonl)")
    text.move(text.at + 1)
    if text.peek() == "]":
        text.move(text.at + 1)
    else:
        while True:
            text.peek()
            line = text.line
            yield _record(line, text.value().encode("utf-8", "surrogatepass"))
            follows = text.peek()
            if follows not in ",]" or not follows:
                raise ValueError("not JSON: expected ',' or ']'")
            text.move(text.at + 1)
            if follows == "]":
                break
    if text.peek():
        raise ValueError("not JSON: something follows the list")


def _cells(file: Path, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(LARGEST)
    broken: dict[int, str] = {}
    reader = csv.reader(_decoded(file, broken), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            within = reader.line_num == start and "end of data" not in str(error)
            why = f"not {'CSV' if delimiter == ',' else 'TSV'}: {error}"
            yield Record(start, None, why, final=not within or header is None)
            if not within:
                return
            start = reader.line_num + 1
            continue
        if cells is None:
            return
        line, start = start, reader.line_num + 1
        if broken:
            yield from (Record(n, None, why, header is None) for n, why in broken.items())
            broken.clear()
            header = header or cells
        elif not cells:
            continue
        elif header is None:
            header = cells
            yield from _of_header(line, header)
        elif len(cells) != len(header):
            yield Record(line, None, f"{len(cells)} cells; the header has {len(header)}")
        elif any("\0" in cell for cell in cells):
            yield Record(line, None, "a NUL character, which is no text")
        else:
            yield Record(line, dict(zip(header, cells, strict=True)))


def _decoded(file: Path, broken: dict[int, str]) -> Iterator[str]:
    """The lines of a file as text; where one is no UTF-8, `broken` says so."""
    number = 0
    for _, whole in lines_of(file):
        for part in whole.splitlines(keepends=True) if b"\r" in whole else (whole,):
            number += 1
            try:
                yield part.decode()
            except UnicodeDecodeError:
                broken[number] = encoding_hint(part)
                yield part.decode(errors="replace")


def _of_header(line: int, header: list[str]) -> Iterable[Record]:
    for name in dict.fromkeys(name for name in header if header.count(name) > 1):
        yield Record(line, None, f"the column {name!r} is there {header.count(name)} times", True)
    if any(not name.strip() for name in header):
        at = [not name.strip() for name in header].index(True) + 1
        yield Record(line, None, f"column {at} has no name", True)


def _parquet(file: Path) -> Iterator[Record]:
    import pyarrow  # noqa: PLC0415  (heavy: first use; MLflow brings it)
    import pyarrow.parquet  # noqa: PLC0415

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            if twice:
                yield Record(0, None, f"the column {twice[0]!r} is there {names.count(twice[0])} times", True)
                return
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield _of_parquet(number, row)
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(file, error) from error


def _of_parquet(number: int, row: Row) -> Record:
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            return Record(number, None, f"{name}: {value} is no JSON number")
        if isinstance(value, bytes):
            return Record(number, None, f"{name}: bytes, not text")
    return Record(number, to_plain(row))
