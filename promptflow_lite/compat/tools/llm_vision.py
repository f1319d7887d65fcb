"""`promptflow.tools.llm_vision`: a chat with images over either connection."""

from __future__ import annotations

from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.contracts.types import PromptTemplate
from promptflow_lite.compat.tools import _asked
from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection
from promptflow_lite.tools.tool import tool

__all__ = ["llm_vision"]


@tool(streaming_option_parameter="stream")
def llm_vision(
    connection: AzureOpenAIConnection | OpenAIConnection,
    prompt: PromptTemplate,
    deployment_name: str = "",
    model: str = "",
    stream: object = False,
    **given: Any,
) -> Any:
    """What the model says of images and text."""
    return _asked.vision(connection, prompt, deployment_name or model, {**given, "stream": stream})


__getattr__ = names_of("promptflow.tools.llm_vision")
