"""Which messages does a rendered prompt hold? Its marks open them; what a role needs stands in fields."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from promptflow_lite.errors import NodeError
from promptflow_lite.prompts.marks import ROLE_LINE, ROLES, PromptText, RoleMark
from promptflow_lite.prompts.message import Message

__all__ = ["messages_of", "plain_messages"]

_AUTHORS = ("system", "developer")
"""Roles in which only the author speaks. A turn of data that claims one is the model's: `assistant`."""
_MAX_TOOL_CALLS = 1024 * 1024


def messages_of(text: PromptText, file: str) -> Iterator[Message]:
    """The messages of a rendered prompt.

    Args:
        text: the prompt, with its marks.
        file: the name in complaints.

    Raises:
        NodeError: `chat-format`: text before the first role, or a message without what its role needs.
    """
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
    if ROLE_LINE.search(before):
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


def plain_messages(bodies: Iterable[tuple[str, str]], file: str) -> list[Message]:
    """The messages of bodies without fields, in half the time of `messages_of`.

    Args:
        bodies: the role of each, and its text.
        file: the name in complaints.

    Raises:
        NodeError: `chat-format`: a role needs fields.
    """
    return [_message(role, _Body(text, 0, len(text), []), file) for role, text in bodies]


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
