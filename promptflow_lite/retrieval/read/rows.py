"""What do rows say? CSV and JSON Lines, a document a row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.read.text import SourceFile, Text, decoded

__all__ = ["read_csv", "read_jsonl"]


def read_csv(file: SourceFile) -> list[Text]:
    """A text for each row.

    Raises:
        InputError: every row that is none, with its line.
    """
    reader = csv.reader(io.StringIO(decoded(file), newline=""), strict=True)
    texts: list[Text] = []
    complaints: list[str] = []
    names: list[str] | None = None
    try:
        ended = 0
        for cells in reader:
            line, ended = ended + 1, reader.line_num
            if not cells:
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                _check_columns(names, file.text_column)
                continue
            try:
                if len(cells) != len(names):
                    raise ValueError(f"expected {len(names)} cells, got {len(cells)}")
                texts.append(_of_row(dict(zip(names, cells, strict=True)), file, line))
            except ValueError as error:
                complaints.append(f"{file.path}:{line}: {error}")
    except (csv.Error, ValueError) as error:
        complaints.append(f"{file.path}:{reader.line_num}: {error}")
    _refuse(complaints)
    return texts


def _check_columns(names: Sequence[str], text_column: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the column {twice[0]!r} is there twice")
    wanted = [text_column] if text_column else ["content", "text"]
    if not set(wanted) & set(names):
        expected = " or ".join(map(repr, wanted))
        raise ValueError(f"expected a column {expected} (--text-column), got {', '.join(map(repr, names))}")


def read_jsonl(file: SourceFile) -> list[Text]:
    """A text for each line.

    Raises:
        InputError: every row that is none, with its line.
    """
    texts: list[Text] = []
    complaints: list[str] = []
    for number, line in enumerate(decoded(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            texts.append(_of_row(json.loads(line), file, number))
        except (ValueError, RecursionError) as error:
            complaints.append(f"{file.path}:{number}: {error}")
    _refuse(complaints)
    return texts


def _refuse(complaints: Sequence[str]) -> None:
    if complaints:
        more = [f"... and {len(complaints) - 20} more"] if len(complaints) > 20 else []
        raise InputError("\n".join([*complaints[:20], *more]), code="bad-source")


def _of_row(row: Any, file: SourceFile, number: int) -> Text:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {type(row).__name__}")
    key = file.text_column or ("content" if "content" in row else "text")
    content = row.get(key)
    if not isinstance(content, str):
        wanted = repr(key) if file.text_column else "'content' or 'text'"
        got = "none" if content is None else type(content).__name__
        raise ValueError(f"expected text in {wanted}, got {got}")
    rest = {name: value for name, value in row.items() if name not in ("id", "title", key)}
    return Text(
        content,
        file.name,
        id=str(row["id"]) if row.get("id") not in (None, "") else f"{file.name}:{number}",
        title=str(row.get("title") or ""),
        metadata={**rest, "line": number},
    )
