"""What does Prompt flow's embedding tool call? One text to its vector, by a connection."""

from __future__ import annotations

from promptflow_lite.connections.base import Connection
from promptflow_lite.tools.clients import embed
from promptflow_lite.tools.tool import tool

__all__ = ["embedding"]

_OPENAI_MODEL = "text-embedding-ada-002"
"""What Prompt flow's tool asks OpenAI for where a node names no model."""


@tool
async def embedding(
    connection: Connection, input: str, deployment_name: str = "", model: str = ""
) -> list[float]:
    """The vector of a text.

    Prompt flow: promptflow.tools.embedding.

    Args:
        connection: an OpenAI or Azure OpenAI connection, or `local` for the embedded model.
        input: the text.
        deployment_name: the Azure deployment.
        model: the model, for the others.

    Raises:
        ModelError: the endpoint refused or gave something else.
        UserError: Azure, and no deployment is named.
    """
    unsaid = _OPENAI_MODEL if connection.TYPE == "open_ai" else None
    [vector] = await embed(connection, [input], deployment_name or model or unsaid)
    return vector
