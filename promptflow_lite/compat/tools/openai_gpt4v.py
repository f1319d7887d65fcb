"""`promptflow.tools.openai_gpt4v`: chats with images over an OpenAI connection."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.contracts.types import PromptTemplate
from promptflow_lite.compat.tools import _asked
from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["OpenAI"]


class OpenAI(ToolProvider):
    """The tool of one connection."""

    def __init__(self, connection: OpenAIConnection) -> None:
        super().__init__()
        self._connection = connection

    @tool(streaming_option_parameter="stream")
    def chat(
        self,
        prompt: PromptTemplate,
        model: str = "gpt-4-vision-preview",
        stream: object = False,
        **given: Any,
    ) -> Any:
        """What the model says of images and text."""
        return _asked.vision(self._connection, prompt, model, {**given, "stream": stream})


__getattr__ = names_of("promptflow.tools.openai_gpt4v")
