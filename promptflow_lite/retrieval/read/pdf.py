"""What do the pages of a PDF say, and under which bookmarks?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptflow_lite.errors import InputError, MissingExtra
from promptflow_lite.retrieval.read.text import SourceFile, Text

__all__ = ["read_pdf"]


def read_pdf(file: SourceFile) -> list[Text]:
    """A text for each page.

    Raises:
        InputError: it cannot be read.
        MissingExtra: pypdf is not installed.
    """
    try:
        from pypdf import PdfReader  # noqa: PLC0415  # heavy: first use
        from pypdf.errors import PyPdfError  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("pypdf", "pdf") from error
    try:
        reader = PdfReader(file.path)
        title = (reader.metadata.title if reader.metadata else None) or file.path.stem
        pages = [page.extract_text() for page in reader.pages]
        headings = _outline(reader, len(pages))
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file.path}: not a PDF that can be read: {error}", code="bad-source") from error
    return [
        Text(
            content,
            file.name,
            id=f"{file.name}:p{number}",
            title=str(title),
            heading=heading,
            metadata={"page": number},
        )
        for number, (content, heading) in enumerate(zip(pages, headings, strict=True), start=1)
    ]


def _outline(reader: Any, count: int) -> list[tuple[str, ...]]:
    """The bookmarks above each page: the first that points at it, else the last before it."""
    first: dict[int, tuple[str, ...]] = {}
    last: dict[int, tuple[str, ...]] = {}

    def walk(items: Sequence[Any], above: tuple[str, ...]) -> None:
        path = above
        for item in items:
            if isinstance(item, list):  # what stands below the bookmark before it
                walk(item, path)
                continue
            path = (*above, " ".join(str(item.title).split()))
            page = reader.get_destination_page_number(item)
            if page is not None and 0 <= page < count:
                first.setdefault(page, path)
                last[page] = path

    walk(reader.outline, ())
    found: list[tuple[str, ...]] = []
    current: tuple[str, ...] = ()
    for page in range(count):
        found.append(first.get(page, current))
        current = last.get(page, current)
    return found
