"""What does a reader of a web page see? Its title and its text, headings as Markdown writes them."""

from __future__ import annotations

import re
from bisect import bisect_right
from html.parser import HTMLParser
from itertools import accumulate
from typing import NamedTuple

__all__ = ["Page", "read_page"]


class Page(NamedTuple):
    """What a page says."""

    title: str
    text: str
    lines: list[tuple[int, int]]
    """Where in the text what stood in a line of the file begins, and that line's number, in order."""


def read_page(html: str) -> Page:
    """The page that `html` writes; whatever it is, it is read as a browser would, without complaint."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    text = parser.text()
    return Page(" ".join("".join(parser.title).split()), text, parser.lines_of(text))


_BLOCK_TAGS = """
address article aside blockquote br dd div dl dt fieldset figcaption figure footer form header hr li
main nav ol p pre section table tr ul h1 h2 h3 h4 h5 h6
"""
_WORD = re.compile(r"\S+")
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "head"})


class _Parser(HTMLParser):
    """The text that a reader of a page sees; headings as Markdown writes them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._parts: list[str] = []
        self._lines: list[int] = []
        self._unseen = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._in_title = self._in_title or (tag == "title" and not self.title)
        if tag == "body":  # a page may leave out the end of its head
            self._unseen = 0
        if tag in _BLOCKS:
            self._add("\n\n" + "#" * int(tag[1]) + " " if tag[0] == "h" and tag[1:].isdigit() else "\n")
        elif tag in ("td", "th"):
            self._add(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1
        if tag == "title":
            self._in_title = False
        if tag in _BLOCKS:
            self._add("\n\n" if tag in ("p", "table", "ul", "ol") or tag[0] == "h" else "\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            line, _ = self.getpos()
            for number, text in enumerate(data.split("\n")):
                self._add(re.sub(r"\s+", " ", text if not number else f" {text}"), line + number)

    def _add(self, part: str, line: int | None = None) -> None:
        self._parts.append(part)
        self._lines.append(line or self.getpos()[0])

    def text(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    def lines_of(self, text: str) -> list[tuple[int, int]]:
        """The lines of the file that `text`, which `self.text()` gave, came from.

        The same words in the same order are in both; a word across two parts belongs to the first.
        """
        raw = "".join(self._parts)
        ends = list(accumulate(map(len, self._parts)))
        found: list[tuple[int, int]] = [(0, 1)]
        for word, whence in zip(_WORD.finditer(text), _WORD.finditer(raw), strict=True):
            line = self._lines[bisect_right(ends, whence.start())]
            if line != found[-1][1]:
                found.append((word.start(), line))
        return found
