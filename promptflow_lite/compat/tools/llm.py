"""`promptflow.tools.llm`: a chat or a completion over any connection of a language model."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.contracts.types import PromptTemplate
from promptflow_lite.compat.tools import _asked
from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection, ServerlessConnection
from promptflow_lite.tools.tool import tool

__all__ = ["llm"]


@tool(streaming_option_parameter="stream")
def llm(
    connection: AzureOpenAIConnection | OpenAIConnection | ServerlessConnection,
    prompt: PromptTemplate,
    api: str = "chat",
    deployment_name: str = "",
    model: str = "",
    stream: object = False,
    **given: Any,
) -> Any:
    """What the model says."""
    ask = _asked.completion if api == "completion" else _asked.chat
    return ask(connection, prompt, deployment_name or model, {**given, "stream": stream})


__getattr__ = names_of("promptflow.tools.llm")
