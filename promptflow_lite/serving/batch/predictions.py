"""What comes of a job? A row for each row of the data, in its order, as CSV or JSON Lines; and a summary."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.runs import data
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import dumps

__all__ = ["COLUMNS", "SUMMARY", "errors_of", "ids_of", "write"]

SUMMARY = "summary.json"
COLUMNS = ("line_number", "id", "error")
"""Ours; an output that is named so gets `outputs.` before its name."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_ERRORS = 20


def write(file: Path, records: Records, outputs: Iterable[str], ids: Mapping[int, Any] | None) -> None:
    """Write a row for each line that has ended; of one that failed, only the code of its failure.

    Args:
        file: whose suffix says the format.
        records: what came of the lines.
        outputs: the flow's outputs, in order.
        ids: the id of each row by line number; `None` where the data has no such column.
    """
    names = {output: f"outputs.{output}" if output in COLUMNS else output for output in outputs}
    rows = (_row(record, names, ids) for record in records.each())
    if file.suffix == ".csv":
        columns = ["line_number", *(["id"] if ids is not None else []), *names.values(), "error"]
        DISK.write_file(file, _csv(columns, rows))
    else:
        DISK.write_file(file, (dumps(row) + b"\n" for row in rows))


def ids_of(path: Path, column: str, *, skip_bad: bool = False) -> dict[int, Any] | None:
    """The values of a column by line number; `None` where there is no such column."""
    found = data.read(path, skip_bad=skip_bad)
    if column not in found.columns:
        return None
    return {placed.number: placed.row.get(column) for placed in found.rows()}


def errors_of(records: Records) -> list[dict[str, Any]]:
    """Which lines failed, the first few: their numbers, the failures' codes and nodes, no words of theirs."""
    found = []
    for record in records.each():
        if record["error"] is not None:
            error = record["error"]
            found.append({"line_number": record["line_number"], "code": error["code"], "node": error["node"]})
            if len(found) == _MOST_ERRORS:
                break
    return found


def _row(
    record: Mapping[str, Any], names: Mapping[str, str], ids: Mapping[int, Any] | None
) -> dict[str, Any]:
    number, error = record["line_number"], record["error"]
    outputs = record["outputs"] or {}
    return {
        "line_number": number,
        **({"id": ids.get(number)} if ids is not None else {}),
        **({} if error else {names[name]: outputs.get(name) for name in names}),
        **({"error": error["code"]} if error else {}),
    }


def _csv(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    take = _taker(text)
    writer.writerow(columns)
    yield take()
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
        yield take()


def _taker(text: io.StringIO) -> Callable[[], bytes]:
    def take() -> bytes:
        written = text.getvalue().encode("utf-8", "replace")
        text.seek(0)
        text.truncate()
        return written

    return take


def _cell(value: Any) -> Any:
    """A cell; text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, dict | list | bool):
        return dumps(value).decode()
    return value
