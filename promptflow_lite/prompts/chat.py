"""Which messages does a chat template make? Rendered with marks for roles and images, and split at them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from promptflow_lite.prompts.marks import ROLES, Marks, PromptText, trust
from promptflow_lite.prompts.message import Message
from promptflow_lite.prompts.pictures import Images, on_lines
from promptflow_lite.prompts.rendered import messages_of, plain_messages
from promptflow_lite.prompts.template import Template, compile
from promptflow_lite.values import Image

__all__ = ["ROLES", "ChatTemplate", "PromptText", "compile_chat", "trust"]


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
    marks = Marks(secrets.token_hex(16))
    marked, has_roles = marks.into(on_lines(text) if images else text)
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
    _marks: Marks
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
            return list(messages_of(self._marks.unwrap(rendered), self.file))
        return plain_messages(zip(rest[1::4], rest[3::4], strict=True), self.file)

    def render_text(self, values: Mapping[str, Any]) -> PromptText:
        """The text of the prompt as plain jinja2 gives it, role lines marked.

        Raises:
            NodeError: the codes of `Template.render`.
        """
        return self._marks.unwrap(self._rendered(values, self._marks.put_back))

    def _rendered(self, values: Mapping[str, Any], adapt: Callable[[Any], str]) -> str:
        return self._template.render(values, adapt=adapt, lists_as_lines=self._lists_as_lines)

    def _with_images(self, values: Mapping[str, Any], detail: str) -> list[Message]:
        found = Images(secrets.token_hex(16))

        def adapt(value: Any) -> str:
            return found.wrap(value) if isinstance(value, Image) else self._marks.put_back(value)

        text = self._marks.unwrap(self._rendered(values, adapt))
        return [
            message if isinstance(message.content, list) else replace(message, content=content)
            for message in messages_of(text, self.file)
            for content in [found.parts(str(message.content), detail)]
        ]
