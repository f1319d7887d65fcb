"""What does a DOCX say? Paragraphs, headings and tables."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from typing import Any

from promptflow_lite.errors import InputError, MissingExtra
from promptflow_lite.retrieval.read.text import SourceFile, Text

__all__ = ["read_docx"]

_MOST_BYTES = 256 * 2**20
"""What a DOCX may unpack to."""


def read_docx(file: SourceFile) -> list[Text]:
    """Its paragraphs and tables in their order, headings as Markdown writes them.

    Raises:
        InputError: it cannot be read.
        MissingExtra: python-docx is not installed.
    """
    try:
        import docx  # noqa: PLC0415  # heavy: first use
        from docx.opc.exceptions import OpcError  # noqa: PLC0415  # heavy: first use
        from docx.table import Table  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("python-docx", "docx") from error
    try:
        with zipfile.ZipFile(file.path) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MOST_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 20} MB")
        document = docx.Document(str(file.path))
        numbered = enumerate(document.iter_inner_content(), start=1)
        parts = [
            (_table(part) if isinstance(part, Table) else _paragraph(part.text, part.style), number)
            for number, part in numbered
        ]
        title = document.core_properties.title.strip() or file.path.stem
    except (
        OpcError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        SyntaxError,
    ) as error:  # lxml's errors are SyntaxErrors
        raise InputError(f"{file.path}: not a DOCX that can be read: {error}", code="bad-source") from error
    content, places = _joined([(block, number) for block, number in parts if block])
    return [
        Text(content, file.name, id=file.name, title=title, markdown=True, unit="paragraph", places=places)
    ]


def _joined(blocks: Sequence[tuple[str, int]]) -> tuple[str, list[tuple[int, int]]]:
    """The blocks with a blank line between them, and where each begins with its number."""
    places: list[tuple[int, int]] = []
    at = 0
    for block, number in blocks:
        places.append((at, number))
        at += len(block) + 2
    return "\n\n".join(block for block, _ in blocks), places


_HEADING_STYLE = re.compile(r"(?:(title)|heading ([1-9]))", re.IGNORECASE)


def _paragraph(text: str, style: Any) -> str:
    """A paragraph; a heading as Markdown writes it."""
    text = text.strip()
    found = _HEADING_STYLE.fullmatch((style.name or "") if style is not None else "")
    if not found or not text:
        return text
    level = 1 if found.group(1) else min(6, int(found.group(2)))
    return "#" * level + " " + " ".join(text.split())


def _table(table: Any) -> str:
    """A line for each row; a merged cell once."""
    rows = ({id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}.values() for row in table.rows)
    return "\n".join(" | ".join(cells) for cells in rows)
