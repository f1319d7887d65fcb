"""Where does a text fall apart? Texts to passages: by headings, then by sentences, with exact positions."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from promptflow_lite.retrieval.read import Text
from promptflow_lite.retrieval.tokenize import pieces

__all__ = ["OVERLAP", "SIZE", "Chunk", "chunk"]

SIZE = 300
"""Words (characters, in scripts without spaces) of one chunk, unless told."""
OVERLAP = 40
"""Words that a chunk repeats of the one before it, unless told."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text.content[start:end]`."""

    content: str
    start: int
    end: int
    heading: tuple[str, ...] = ()
    """The headings above it, outermost first."""


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    heading: tuple[str, ...]


def chunk(text: Text, *, size: int = SIZE, overlap: int = OVERLAP) -> list[Chunk]:
    """The passages of `text`, in order; none crosses a heading.

    Args:
        text: what to cut.
        size: at most this many words (`tokenize.pieces`) in a passage.
        overlap: a passage starts with up to this many words of the one before, in whole sentences.

    Raises:
        ValueError: `size` is not positive, or `overlap` is not between 0 and `size`.
    """
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"expected size > overlap >= 0, got size {size} and overlap {overlap}")
    sections = _sections(text.content) if text.markdown else [_Section(0, len(text.content), ())]
    return [made for section in sections for made in _cut(text.content, section, size, overlap)]


_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*\s*$")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n.*?\r?\n---[ \t]*(\r?\n|$)", re.DOTALL)


def _sections(content: str) -> list[_Section]:
    """The stretches between headings; a heading's line belongs to the stretch below it."""
    front = _FRONT_MATTER.match(content)
    at = start = front.end() if front else 0
    above: dict[int, str] = {}
    fence = ""
    sections: list[_Section] = []
    for line in content[at:].splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark.group(1)
        elif mark and fence and line.strip().startswith(fence):
            fence = ""
        elif not fence and (found := _HEADING.match(line)):
            sections.append(_Section(start, at, tuple(above.values())))
            level = len(found.group(1))
            above = {depth: title for depth, title in above.items() if depth < level} | {
                level: found.group(2)
            }
            start = at
        at += len(line)
    sections.append(_Section(start, len(content), tuple(above.values())))
    return [section for section in sections if _says_something(content[section.start : section.end])]


def _says_something(stretch: str) -> bool:
    first, _, rest = stretch.strip().partition("\n")
    return bool(rest.strip()) or (bool(first) and _HEADING.match(first) is None)


_SENTENCE_END = re.compile(
    r"[。！？．]+[」』）】》〉”’\"')\]]*\s*"  # no space follows a Japanese full stop
    r"|[.!?]+[\"')\]”’»]*\s+"
    r"|\r?\n[ \t]*\r?\n\s*"
    r"|\r?\n(?=[ \t]*(?:[-*+|]|\d+[.)])[ \t|])"  # list items and table rows
)


def _sentences(content: str, section: _Section, size: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and length of each sentence, cut at `size`; together they cover the section."""
    ends = [match.end() for match in _SENTENCE_END.finditer(content, section.start, section.end)]
    start = section.start
    for end in [*ends, section.end]:
        if end <= start:
            continue
        spans = list(pieces(content[start:end]))
        cuts = [start + spans[i][0] for i in range(size, len(spans), size)]
        for number, (a, b) in enumerate(zip([start, *cuts], [*cuts, end], strict=True)):
            yield a, b, min(size, len(spans) - number * size)
        start = end


def _cut(content: str, section: _Section, size: int, overlap: int) -> Iterator[Chunk]:
    sentences = list(_sentences(content, section, size))
    before = [0]
    for _, _, length in sentences:
        before.append(before[-1] + length)
    first = 0
    while first < len(sentences):
        last = _last_that_fits(before, first, size)
        yield from _trimmed(content, sentences[first][0], sentences[last - 1][1], section.heading)
        if last == len(sentences):
            return
        first = max(first + 1, bisect_left(before, before[last] - overlap))
        # Too long a sentence may come next: a passage of the overlap alone would say nothing new.
        while _last_that_fits(before, first, size) <= last:
            first += 1


def _last_that_fits(before: list[int], first: int, size: int) -> int:
    """The greatest `last` such that the sentences from `first` to before `last` hold at most `size` words."""
    last = first + 1
    while last + 1 < len(before) and before[last + 1] - before[first] <= size:
        last += 1
    return last


def _trimmed(content: str, start: int, end: int, heading: tuple[str, ...]) -> Iterator[Chunk]:
    text = content[start:end]
    start += len(text) - len(text.lstrip())
    text = text.strip()
    if text:
        yield Chunk(text, start, start + len(text), heading)
