"""`promptflow.tools.common`: templates and chat text, for code that reaches into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.prompts import template
from promptflow_lite.prompts.chat import compile_chat, trust

__all__ = ["build_messages", "parse_chat", "render_jinja_template"]

_FILE = "prompt"


def render_jinja_template(
    template_content: str | None = None,
    trim_blocks: bool = True,
    keep_trailing_newline: bool = True,
    **values: Any,
) -> str:
    """The text of a template; it is rendered in the sandbox, with blocks trimmed, whatever is asked for.

    Before 1.6 of promptflow-tools the template was called `prompt`.
    """
    text = values.pop("prompt", None) if template_content is None else template_content
    if text is None:
        raise TypeError("render_jinja_template() needs a template")
    return template.compile(str(text), _FILE).render(values)


def parse_chat(
    chat_str: str,
    images: Sequence[Any] | None = None,
    valid_roles: Sequence[str] | None = None,
    image_detail: str = "auto",
    **given: Any,
) -> list[dict[str, Any]]:
    """The messages of a text whose role lines the caller has written."""
    chat = compile_chat("{{ chat }}", _FILE)
    return [message.to_openai() for message in chat.render({"chat": trust(chat_str)})]


def build_messages(
    prompt: str, images: Sequence[Any] | None = None, image_detail: str = "auto", **values: Any
) -> list[dict[str, Any]]:
    """The messages of a chat template; images among the values become parts."""
    chat = compile_chat(prompt, _FILE, images=True)
    return [message.to_openai() for message in chat.render(values, detail=image_detail)]


__getattr__ = names_of("promptflow.tools.common")
