"""What do files of running text say? Plain text, Markdown and HTML."""

from __future__ import annotations

import re

from promptflow_lite.retrieval.read.page import read_page
from promptflow_lite.retrieval.read.text import SourceFile, Text, decoded

__all__ = ["read_html", "read_markdown", "read_plain"]


def read_plain(file: SourceFile) -> list[Text]:
    """The text of a plain file."""
    content = decoded(file)
    return [Text(content, file.name, id=file.name, title=file.path.stem, unit="line", places=_lines(content))]


def _lines(content: str) -> list[tuple[int, int]]:
    starts = [0, *(match.end() for match in re.finditer("\n", content))]
    return [(start, number) for number, start in enumerate(starts, start=1)]


_FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*\r?$", re.MULTILINE)


def read_markdown(file: SourceFile) -> list[Text]:
    """The text of a Markdown file, entitled by its first heading."""
    content = decoded(file)
    heading = _FIRST_HEADING.search(content)
    title = heading.group(1) if heading else file.path.stem
    return [
        Text(
            content, file.name, id=file.name, title=title, markdown=True, unit="line", places=_lines(content)
        )
    ]


def read_html(file: SourceFile) -> list[Text]:
    """What a reader of the page sees."""
    page = read_page(decoded(file))
    title = page.title or file.path.stem
    return [
        Text(page.text, file.name, id=file.name, title=title, markdown=True, unit="line", places=page.lines)
    ]
