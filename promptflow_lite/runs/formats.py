"""Which records does one file hold? JSON Lines, a JSON list, CSV, TSV and Parquet, read strictly.

Nothing is guessed: cells of CSV and TSV stay text, as in Prompt flow, and a key that stands twice in an
object is an error rather than whichever came last. Files are streams: one record is held at a time.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from promptflow_lite.errors import InputError
from promptflow_lite.runs.json_list import json_list
from promptflow_lite.runs.rows import Record, Row, record_of
from promptflow_lite.runs.streams import LARGEST, encoding_hint, kind_of, lines_of, unreadable
from promptflow_lite.values import to_plain

__all__ = ["records_of"]

_NOT_READ = {".xlsx": "a spreadsheet", ".xls": "a spreadsheet", ".zip": "an archive", ".7z": "an archive"}
_READ = ".jsonl, .json, .csv, .tsv or .parquet, also compressed (.gz, .bz2, .xz, .zst)"
_BATCH = 256


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
            return json_list(file)
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
            yield record_of(number, text, is_checked=is_checked)


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
            found = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            yield Record(line, None, f"{found}; the header has {len(header)}")
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
