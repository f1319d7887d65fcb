"""Which messages does a chat template make? Role marks that only the author can write.

Prompt flow: promptflow-tools common.py `parse_chat` (flow-language 3.2) looks for role lines in the rendered
text, so that data can forge one. Here the role lines of the template's *source* are replaced by marks before
values are put in, each with a nonce that no value can know, and only marks split messages. Images that values
hold go in as such marks too, so that no text can stand for one.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from promptflow_lite.errors import NodeError
from promptflow_lite.prompts.message import Message
from promptflow_lite.prompts.template import Template, compile
from promptflow_lite.values import Image

__all__ = ["ChatTemplate", "PromptText", "compile_chat", "trust"]

ROLES = ("system", "user", "assistant", "function", "tool")
_AUTHORS = ("system", "developer")
"""Roles in which only the author speaks. A turn of data that claims one is the model's: `assistant`."""
_MAX_TOOL_CALLS = 1024 * 1024

_END = r"\{%[-+]?\s*end(?:macro|set)\s*[-+]?%\}"
_DEFINED = rf"(?:(?!\{{%[-+]?\s*(?:macro|set)\b)[^\n])*?{_END}"
"""The end of a macro, or of a text that is set, with what is in it: none of it is shown where it stands."""
_DEFINITION = rf"\{{%[-+]?\s*(?:macro|set)\b(?:(?!\{{%[-+]?\s*end)[^\n])*{_END}"
_TAG = r"\{[%#](?:(?!\{[%#]).)*?[%#]\}"
_LINE_START = rf"(?im)^(?P<lead>[^\S\n]*(?:{_DEFINED})?[^\S\n]*(?:(?:{_DEFINITION}|{_TAG})[^\S\n]*)*)"
_ROLE_LINE = re.compile(
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


_IMAGE_HOLE = re.compile(r"!\[\s*image\s*\]\((?P<hole>\{\{-?\s*[^{}]+?\s*-?\}\})\)")


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
        for kind, pattern in (("role", _ROLE_LINE), ("field", _FIELD_LINE))
        for m in pattern.finditer(text)
    ]
    return PromptText(text, tuple(sorted(marks)))


@lru_cache(maxsize=256)
def compile_chat(text: str, file: str, *, images: bool = False, lists_as_lines: bool = False) -> ChatTemplate:
    """A chat template, ready to be rendered often.

    Args:
        text: jinja2, with role lines such as `system:`.
        file: the name in complaints.
        images: whether images become parts of their message: `![image]({{ x }})`, or a hole alone on its
            line. Lists are lines then, too.
        lists_as_lines: whether the text of a list is that of its items, a line each.

    Raises:
        FlowError: code `template-syntax`, with the line.
    """
    marks = _Marks(secrets.token_hex(16))
    if images:
        text = _IMAGE_HOLE.sub(lambda m: f"\n{m['hole']}\n", text)
    marked = _ROLE_LINE.sub(lambda m: m["lead"] + marks.wrap("role", m["role"].lower(), m["head"]), text)
    marked = _SPOKEN_ROLE_LINE.sub(lambda m: m["lead"] + marks.wrap("spoken", m["role"], ""), marked)
    has_roles = marked != text
    marked = _FIELD_LINE.sub(lambda m: m["lead"] + marks.wrap("field", m["field"].lower(), m["head"]), marked)
    template = compile(marked, file)
    return ChatTemplate(
        file, template.variables, has_roles, template, marks, images, images or lists_as_lines
    )


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """A compiled chat template."""

    file: str
    variables: frozenset[str]
    """The names it reads and does not set itself."""
    has_roles: bool
    """Whether a role line stands in its source."""
    _template: Template
    _marks: _Marks
    _images: bool = False
    _lists_as_lines: bool = False

    def render(self, values: Mapping[str, Any], *, detail: str = "auto") -> list[Message]:
        """The messages.

        Args:
            values: by name.
            detail: how closely the model shall look at images: `auto`, `low` or `high`.

        Raises:
            NodeError: `chat-format`: text before the first role, or a message without what its role needs;
                and the codes of `Template.render`.
        """
        if self._images:
            return self._with_images(values, detail)
        rendered = self._rendered(values, self._marks.put_back)
        before, *rest = self._marks.split(rendered)
        if before.strip() or not rest or any(kind != "role" for kind in rest[::4]):
            return list(_messages(self._marks.unwrap(rendered), self.file))
        return [  # the plain case, in half the time
            _message(role, _Body(body, 0, len(body), []), self.file)
            for role, body in zip(rest[1::4], rest[3::4], strict=True)
        ]

    def render_text(self, values: Mapping[str, Any]) -> PromptText:
        """The text of the prompt as plain jinja2 gives it, role lines marked.

        Raises:
            NodeError: the codes of `Template.render`.
        """
        return self._marks.unwrap(self._rendered(values, self._marks.put_back))

    def _rendered(self, values: Mapping[str, Any], adapt: Callable[[Any], str]) -> str:
        return self._template.render(values, adapt=adapt, lists_as_lines=self._lists_as_lines)

    def _with_images(self, values: Mapping[str, Any], detail: str) -> list[Message]:
        found = _Images(secrets.token_hex(16))

        def adapt(value: Any) -> str:
            return found.wrap(value) if isinstance(value, Image) else self._marks.put_back(value)

        text = self._marks.unwrap(self._rendered(values, adapt))
        return [
            message if isinstance(message.content, list) else replace(message, content=content)
            for message in _messages(text, self.file)
            for content in [found.parts(str(message.content), detail)]
        ]


@dataclass(frozen=True)
class _Marks:
    """Marks written into text: `<nonce:kind:word|head:nonce>`."""

    nonce: str

    def wrap(self, kind: str, word: str, head: str) -> str:
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


@dataclass(frozen=True)
class _Images:
    """The images of one rendering, and their marks in the text: `<nonce:3>`."""

    nonce: str
    found: list[Image] = field(default_factory=list)

    def wrap(self, image: Image) -> str:
        self.found.append(image)
        return f"<{self.nonce}:{len(self.found) - 1}>"

    def parts(self, text: str, detail: str) -> str | list[dict[str, Any]]:
        """A message's content: text and images line by line, where a line is an image; or the text as it is.

        An image amid a line of text is its name there, as in Prompt flow.
        """
        if self.nonce not in text:
            return text
        lines = [line for line in text.split("\n") if line.strip()]
        images = [self._alone(line.strip()) for line in lines]
        if not any(image is not None for image in images):
            return self._named(text)
        return [
            {"type": "text", "text": self._named(line)}
            if image is None
            else {"type": "image_url", "image_url": {"url": _address(image), "detail": detail}}
            for line, image in zip(lines, images, strict=True)
        ]

    def _alone(self, line: str) -> Image | None:
        match = re.fullmatch(rf"<{self.nonce}:(\d+)>", line)
        return self.found[int(match[1])] if match else None

    def _named(self, text: str) -> str:
        return re.sub(rf"<{self.nonce}:(\d+)>", lambda m: str(self.found[int(m[1])]), text)


def _address(image: Image) -> str:
    return image.source_url or image.to_base64(with_type=True)


@lru_cache(maxsize=256)
def _pattern_of(nonce: str) -> re.Pattern[str]:
    return re.compile(rf"<{nonce}:(role|spoken|field):(.*?)\|([^|]*?):{nonce}>", re.DOTALL)


def _messages(text: PromptText, file: str) -> Iterator[Message]:
    opening = [mark for mark in text.marks if _opens(mark, file)]
    before = text[: opening[0].start] if opening else str(text)
    if before.strip():
        raise _no_role(before, file)
    for index, mark in enumerate(opening):
        end = opening[index + 1].start if index + 1 < len(opening) else len(text)
        fields = [m for m in text.marks if m.kind == "field" and mark.end <= m.start < end]
        yield _message(_role(mark), _Body(str(text), mark.end, end, fields), file)


def _opens(mark: RoleMark, file: str) -> bool:
    if mark.kind != "spoken":
        return mark.kind == "role"
    if mark.word in ROLES and mark.word not in ("user", "assistant", *_AUTHORS):
        message = f"the role {mark.word!r} comes from data; data may say 'user' or 'assistant' only"
        hint = "a tool's answer stands in the template, under a role line of its own"
        raise NodeError(f"{file}: {message}", code="chat-format", hint=hint)
    return mark.word in ROLES or mark.word in _AUTHORS


def _role(mark: RoleMark) -> str:
    """The role that a mark opens: data may not speak as the author, whatever it says."""
    return "assistant" if mark.kind == "spoken" and mark.word in _AUTHORS else mark.word


def _no_role(before: str, file: str) -> NodeError:
    shown = before.strip()[:60]
    hint = "a role stands alone on its line, as in 'system:'"
    if _ROLE_LINE.search(before):
        hint = (
            "role lines in values open no message; a python node that writes prompts returns "
            "promptflow_lite.trust(text)"
        )
    return NodeError(f"{file}: text stands before the first role: {shown!r}", code="chat-format", hint=hint)


@dataclass(frozen=True)
class _Body:
    """What stands after a role line, up to the next one."""

    text: str
    start: int
    end: int
    fields: list[RoleMark]

    def whole(self) -> str:
        return self.text[self.start : self.end].strip()

    def split(self, *words: str) -> list[str] | None:
        """The values of the fields `words`, if the body starts with these and no others between them."""
        marks = self.fields[: len(words)]
        if [m.word for m in marks] != list(words) or self.text[self.start : marks[0].start].strip():
            return None
        ends = [m.start for m in marks[1:]] + [self.end]
        return [self.text[mark.end : end].strip() for mark, end in zip(marks, ends, strict=True)]


def _message(role: str, body: _Body, file: str) -> Message:
    if role == "assistant" and (calls := body.split("tool_calls")) is not None:
        return Message(role, "", tool_calls=_tool_calls(calls[0], file))
    if role == "tool":
        parts = body.split("tool_call_id", "content")
        if parts is None:
            raise NodeError(
                f"{file}: a 'tool' message needs 'tool_call_id:' and 'content:'", code="chat-format"
            )
        return Message(role, parts[1], tool_call_id=parts[0])
    parts = body.split("name", "content")
    if parts is not None and parts[0]:
        return Message(role, parts[1], name=parts[0])
    if role == "function":
        raise NodeError(f"{file}: a 'function' message needs 'name:' and 'content:'", code="chat-format")
    return Message(role, body.whole())


def _tool_calls(text: str, file: str) -> list[dict[str, Any]]:
    """The calls, written as JSON or as the literal that jinja2 makes of a list. Read, never evaluated."""
    value: Any = None
    if len(text) <= _MAX_TOOL_CALLS:
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    if not isinstance(value, list) or not all(isinstance(call, dict) for call in value):
        raise NodeError(
            f"{file}: 'tool_calls:' is followed by a list of calls, got {text[:60]!r}", code="chat-format"
        )
    return value
