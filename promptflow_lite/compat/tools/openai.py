"""`promptflow.tools.openai`: chat and completion over an OpenAI connection."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.contracts.types import PromptTemplate
from promptflow_lite.compat.tools import _asked
from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["OpenAI", "chat", "completion"]

_COMPLETION_MODEL = "text-davinci-003"


class OpenAI(ToolProvider):
    """The tools of one connection."""

    def __init__(self, connection: OpenAIConnection) -> None:
        super().__init__()
        self._connection = connection

    @tool
    def chat(self, prompt: PromptTemplate, model: str = "", **given: Any) -> Any:
        """What the model says; other keywords are parameters of the call, or variables of the prompt."""
        return _asked.chat(self._connection, prompt, model, given)

    @tool
    def completion(self, prompt: PromptTemplate, model: str = _COMPLETION_MODEL, **given: Any) -> Any:
        """How the model goes on."""
        return _asked.completion(self._connection, prompt, model, given)


@tool
def chat(connection: OpenAIConnection, prompt: PromptTemplate, model: str = "", **given: Any) -> Any:
    """What the model says; other keywords are parameters of the call, or variables of the prompt."""
    return _asked.chat(connection, prompt, model, given)


@tool
def completion(
    connection: OpenAIConnection, prompt: PromptTemplate, model: str = _COMPLETION_MODEL, **given: Any
) -> Any:
    """How the model goes on."""
    return _asked.completion(connection, prompt, model, given)


__getattr__ = names_of("promptflow.tools.openai")
