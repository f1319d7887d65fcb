"""Which lines of a prompt open a message? Role marks that only the author can write.

Prompt flow: promptflow-tools common.py `parse_chat` (flow-language 3.2) looks for role lines in the rendered
text, so that data can forge one. Here the role lines of the template's *source* are replaced by marks before
values are put in, each with a nonce that no value can know, and only marks split messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["ROLES", "ROLE_LINE", "Marks", "PromptText", "RoleMark", "trust"]

ROLES = ("system", "user", "assistant", "function", "tool")

_END = r"\{%[-+]?\s*end(?:macro|set)\s*[-+]?%\}"
_DEFINED = rf"(?:(?!\{{%[-+]?\s*(?:macro|set)\b)[^\n])*?{_END}"
"""The end of a macro, or of a text that is set, with what is in it: none of it is shown where it stands."""
_DEFINITION = rf"\{{%[-+]?\s*(?:macro|set)\b(?:(?!\{{%[-+]?\s*end)[^\n])*{_END}"
_TAG = r"\{[%#](?:(?!\{[%#]).)*?[%#]\}"
_LINE_START = rf"(?im)^(?P<lead>[^\S\n]*(?:{_DEFINED})?[^\S\n]*(?:(?:{_DEFINITION}|{_TAG})[^\S\n]*)*)"
ROLE_LINE = re.compile(
    _LINE_START + rf"(?P<head>\#?[^\S\n]*(?P<role>{'|'.join(ROLES)})[^\S\n]*:)(?=[^\S\n]*\n)"
)
_SPOKEN_ROLE_LINE = re.compile(
    _LINE_START
    + r"(?P<head>\#?[^\S\n]*(?P<role>\{\{-?\s*(?:[\w.]+(?:\.role|\[['\"]role['\"]\])|role)\s*-?\}\})"
    r"[^\S\n]*:)"
    r"(?=[^\S\n]*\n)"
)
_FIELD_LINE = re.compile(
    _LINE_START
    + r"(?P<head>\#{0,2}[^\S\n]*(?P<field>name|content|tool_call_id|tool_calls)[^\S\n]*:)(?=[^\S\n]*\n)"
)


class RoleMark(NamedTuple):
    """A role or field line that the author wrote, and where it stands in a text."""

    start: int
    end: int
    kind: str
    """`role`, `field`, or `spoken`: a role line such as `{{ item.role }}:`, whose word comes from data."""
    word: str


class PromptText(str):
    """Text whose role lines count, because an author wrote them: what a prompt node gives.

    Any operation on it gives a plain `str`, whose role lines are only text.
    """

    __slots__ = ("marks",)
    marks: tuple[RoleMark, ...]

    def __new__(cls, text: str, marks: tuple[RoleMark, ...] = ()) -> PromptText:
        """Text with marks in the order of their places."""
        made = super().__new__(cls, text)
        made.marks = marks
        return made

    def __reduce__(self) -> tuple[type[PromptText], tuple[str, tuple[RoleMark, ...]]]:
        return PromptText, (str(self), self.marks)


def trust(text: str) -> PromptText:
    """`text` as a prompt of the author's own: its role lines open messages.

    For python nodes that write prompts. Whatever of it came from users or documents must not be trusted so.
    """
    marks = [
        RoleMark(m.start("head"), m.end("head"), kind, m[kind].lower())
        for kind, pattern in (("role", ROLE_LINE), ("field", _FIELD_LINE))
        for m in pattern.finditer(text)
    ]
    return PromptText(text, tuple(sorted(marks)))


@dataclass(frozen=True)
class Marks:
    """Marks written into text: `<nonce:kind:word|head:nonce>`."""

    nonce: str

    def into(self, source: str) -> tuple[str, bool]:
        """A template's source with a mark for each role and field line, and whether there is a role line."""
        marked = ROLE_LINE.sub(lambda m: m["lead"] + self.wrap("role", m["role"].lower(), m["head"]), source)
        marked = _SPOKEN_ROLE_LINE.sub(lambda m: m["lead"] + self.wrap("spoken", m["role"], ""), marked)
        has_roles = marked != source
        fielded = _FIELD_LINE.sub(
            lambda m: m["lead"] + self.wrap("field", m["field"].lower(), m["head"]), marked
        )
        return fielded, has_roles

    def wrap(self, kind: str, word: str, head: str) -> str:
        """One mark."""
        return f"<{self.nonce}:{kind}:{word}|{head}:{self.nonce}>"

    def put_back(self, text: Any) -> str:
        """The text of a value; marks that a `PromptText` carries are written into it."""
        if not isinstance(text, PromptText) or not text.marks:
            return str(text)
        pieces: list[str] = []
        at = 0
        for mark in text.marks:
            pieces += [text[at : mark.start], self.wrap(mark.kind, mark.word, text[mark.start : mark.end])]
            at = mark.end
        return "".join([*pieces, text[at:]])

    def split(self, rendered: str) -> list[str]:
        """The text before the first mark; then of each its kind, word and head, and the text after it."""
        return _pattern_of(self.nonce).split(rendered)

    def unwrap(self, rendered: str) -> PromptText:
        """The text without marks written into it; they are beside it."""
        pieces: list[str] = []
        marks: list[RoleMark] = []
        at = length = 0
        for match in _pattern_of(self.nonce).finditer(rendered):
            kind, word, head = match.groups()
            shown = head or f"{word}:"
            pieces += [rendered[at : match.start()], shown]
            length += match.start() - at
            marks.append(RoleMark(length, length + len(shown), kind, word.strip().lower()))
            length += len(shown)
            at = match.end()
        return PromptText("".join([*pieces, rendered[at:]]), tuple(marks))


@lru_cache(maxsize=256)
def _pattern_of(nonce: str) -> re.Pattern[str]:
    return re.compile(rf"<{nonce}:(role|spoken|field):(.*?)\|([^|]*?):{nonce}>", re.DOTALL)
