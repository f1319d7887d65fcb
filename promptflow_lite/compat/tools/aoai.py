"""`promptflow.tools.aoai`: chat and completion over an Azure OpenAI connection."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.contracts.types import PromptTemplate
from promptflow_lite.compat.tools import _asked
from promptflow_lite.connections.kinds import AzureOpenAIConnection
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["AzureOpenAI", "chat", "completion"]


class AzureOpenAI(ToolProvider):
    """The tools of one connection."""

    def __init__(self, connection: AzureOpenAIConnection) -> None:
        super().__init__()
        self._connection = connection

    @tool
    def chat(self, prompt: PromptTemplate, deployment_name: str, **given: Any) -> Any:
        """What the model says; other keywords are parameters of the call, or variables of the prompt."""
        return _asked.chat(self._connection, prompt, deployment_name, given)

    @tool
    def completion(self, prompt: PromptTemplate, deployment_name: str, **given: Any) -> Any:
        """How the model goes on."""
        return _asked.completion(self._connection, prompt, deployment_name, given)


@tool
def chat(
    connection: AzureOpenAIConnection, prompt: PromptTemplate, deployment_name: str, **given: Any
) -> Any:
    """What the model says; other keywords are parameters of the call, or variables of the prompt."""
    return _asked.chat(connection, prompt, deployment_name, given)


@tool
def completion(
    connection: AzureOpenAIConnection, prompt: PromptTemplate, deployment_name: str, **given: Any
) -> Any:
    """How the model goes on."""
    return _asked.completion(connection, prompt, deployment_name, given)


__getattr__ = names_of("promptflow.tools.aoai")
