"""`promptflow.tools.template_rendering`: the text of a prompt."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.prompts.chat import PromptText, compile_chat
from promptflow_lite.tools.tool import tool

__all__ = ["render_template_jinja2"]


@tool
def render_template_jinja2(template: str, **values: Any) -> PromptText:
    """The text of a template; its role lines count, those of values do not."""
    return compile_chat(template, "prompt").render_text(values)


__getattr__ = names_of("promptflow.tools.template_rendering")
