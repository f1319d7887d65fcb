"""`promptflow.tools.embedding`: the vector of a text."""

from __future__ import annotations

from promptflow_lite.api import models
from promptflow_lite.compat._missing import names_of
from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection, ServerlessConnection
from promptflow_lite.tools.tool import tool

__all__ = ["embedding"]

_MODEL = "text-embedding-ada-002"


@tool
def embedding(
    connection: AzureOpenAIConnection | OpenAIConnection | ServerlessConnection,
    input: str,
    deployment_name: str = "",
    model: str = _MODEL,
) -> list[float]:
    """The vector of `input`: by a deployment for Azure, by a model for the others."""
    named = deployment_name if connection.TYPE == "azure_open_ai" else model
    return models.embedding(connection, input, model=str(getattr(named, "value", named)) or None)


__getattr__ = names_of("promptflow.tools.embedding")
