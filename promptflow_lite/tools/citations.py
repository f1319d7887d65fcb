"""What do the `[1]` of an answer stand on? Marks become citations that were looked up in their documents."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.document import Document, place_of
from promptflow_lite.retrieval.tokenize import query_terms
from promptflow_lite.tools.tool import tool

__all__ = ["Citation", "Cited", "citations", "numbers_cited"]

_MARK = re.compile(
    r"(?P<space>(?<![^\S\n])[^\S\n]*)"  # from where the space begins: else a run of spaces is read n times
    r"[\[［【]\s{0,3}(?P<numbers>\d{1,4}(?:\s{0,3}[,、，;\-–〜~]\s{0,3}\d{1,4}){0,19})\s{0,3}[\]］】](?!\()"
)
_RANGE = re.compile(r"(\d+)(?:\s*[-–〜~]\s*(\d+))?")
_LONGEST_RANGE = 20
_BULLETS = " \t\u3000-*・•>#"
_SENTENCE_END = re.compile(r"[。！？．]+[」』）】”’\"')\]]*|(?<![.!?])[.!?]+[\"')\]”’»]*(?=\s)|\n")


@dataclass(frozen=True, slots=True)
class Citation:
    """One mark of an answer, looked up."""

    number: int
    at: int
    """Where the mark stands in the answer."""
    claim: str
    """The sentence of the answer that it stands for."""
    id: str
    source: str
    heading: str
    place: str
    """Where the document begins in its source: `page 3`, `line 12`, `paragraph 4`, or empty if not known."""
    quote: str
    """The sentence of the document that shares most words with the claim."""
    start: int | None
    """Where the quote starts in its source; `None` if the document does not know its place."""
    end: int | None
    support: float
    """The share of the claim's words that the document has, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer and what it cites."""

    answer: str
    """With each mark written as `[1]`, and without the marks of documents that are not there."""
    citations: list[Citation]
    """In the order of the answer."""
    unknown: int
    """How many numbers were dropped because there is no such document."""


class _Mark(NamedTuple):
    number: int
    at: int
    """In the answer."""
    after: int
    """How much of the text without marks stands before it."""


@tool(name="citations")
def citations(answer: str, documents: list[Any]) -> Cited:
    """The citations of an answer, checked against the documents that were quoted to the model.

    `[1]` is the first document, as the filter `numbered` counts. `［１］`, `【1】`, `[1, 3]` and `[1-3]` are
    read too.

    Args:
        answer: what the model said.
        documents: in the order in which the prompt had them.

    Raises:
        InputError: something among the documents is none.
    """
    known = [_passage(_document(one, number)) for number, one in enumerate(documents, start=1)]
    shown, plain, marks, unknown = _read(answer, len(known))
    ends = [*(match.end() for match in _SENTENCE_END.finditer(plain)), len(plain)]
    found = []
    for mark in marks:
        claim = _claim(plain, ends, mark.after)
        found.append(_citation(mark, claim, known[mark.number - 1]))
    return Cited(shown, found, unknown)


def numbers_cited(answer: str, count: int) -> tuple[set[int], int]:
    """The numbers that the marks of an answer name, and how many different ones are not from 1 to `count`.

    >>> numbers_cited("So it is [1, 3]. And so [3][9].", 3)
    ({1, 3}, 1)
    """
    numbers = {number for mark in _MARK.finditer(answer) for number in _numbers(mark["numbers"])}
    known = {number for number in numbers if 1 <= number <= count}
    return known, len(numbers - known)


def _document(value: Any, number: int) -> Document:
    if isinstance(value, Document):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("content"), str):
        metadata = value.get("metadata")
        return Document(
            value["content"],
            str(value.get("id") or ""),
            metadata=metadata if isinstance(metadata, Mapping) else {},
        )
    if isinstance(value, str):
        return Document(value)
    raise InputError(
        f"documents: number {number} has no content, it is {type(value).__name__}", code="bad-documents"
    )


class _Read(NamedTuple):
    shown: str
    plain: str
    marks: list[_Mark]
    unknown: int


def _read(answer: str, count: int) -> _Read:
    """The answer with its marks made alike, the same without marks, and the marks."""
    shown, plain = "", ""
    marks: list[_Mark] = []
    unknown = at = 0
    for match in _MARK.finditer(answer):
        text = answer[at : match.start()]
        shown, plain, at = shown + text, plain + text, match.end()
        numbers = list(dict.fromkeys(_numbers(match["numbers"])))
        there = [number for number in numbers if 1 <= number <= count]
        unknown += len(numbers) - len(there)
        shown += match["space"] if there else ""
        for number in there:
            marks.append(_Mark(number, len(shown), len(plain)))
            shown += f"[{number}]"
    return _Read(shown + answer[at:], plain + answer[at:], marks, unknown)


def _numbers(text: str) -> Iterator[int]:
    """`1, 3-5` as 1, 3, 4, 5; a long range is its two ends."""
    for first, last in _RANGE.findall(text):
        start, end = int(first), int(last or first)
        if start <= end <= start + _LONGEST_RANGE:
            yield from range(start, end + 1)
        else:
            yield from (start, end)


def _claim(plain: str, ends: Sequence[int], after: int) -> str:
    """The sentence that ends at a mark; where a mark opens its line, the one that follows."""
    line = plain.rfind("\n", 0, after) + 1
    before = plain[line:after].rstrip()
    place = line + len(before) - 1 if before.strip(_BULLETS) else after
    number = min(bisect_right(ends, place), len(ends) - 1)
    start = ends[number - 1] if number else 0
    return plain[start : ends[number]].strip().lstrip(_BULLETS)


class _Passage(NamedTuple):
    document: Document
    sentences: list[tuple[int, int, set[str]]]
    """Where each sentence is, and its words."""
    words: set[str]


def _passage(document: Document) -> _Passage:
    content = document.content
    sentences: list[tuple[int, int, set[str]]] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(content)), len(content)]:
        text = content[start:end]
        if text.strip():
            left = start + len(text) - len(text.lstrip())
            sentences.append((left, left + len(text.strip()), set(query_terms(text))))
        start = end
    return _Passage(document, sentences, set(query_terms(content)))


def _citation(mark: _Mark, claim: str, passage: _Passage) -> Citation:
    wanted = set(query_terms(claim))
    document = passage.document
    start, end, _ = max(
        passage.sentences, key=lambda one: len(wanted & one[2]), default=(0, len(document.content), wanted)
    )
    at = document.metadata.get("start")
    offset = at if isinstance(at, int) and not isinstance(at, bool) else None
    return Citation(
        mark.number,
        mark.at,
        claim,
        document.id,
        source=str(document.metadata.get("source") or ""),
        heading=str(document.metadata.get("heading") or ""),
        place=place_of(document.metadata),
        quote=document.content[start:end],
        start=None if offset is None else offset + start,
        end=None if offset is None else offset + end,
        support=round(len(wanted & passage.words) / len(wanted), 3) if wanted else 0.0,
    )
