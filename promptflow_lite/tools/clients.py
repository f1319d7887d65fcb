"""How else can a connection be used? Its embeddings, and the openai package's own client for it."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import UserError
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.tools.endpoint import OPENAI_EMBEDDING_MODEL, endpoint_of, in_daemon, token_of
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.wire import ask

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["embed", "endpoint_of", "openai_client"]


async def embed(connection: Connection, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
    """One vector a text, in order.

    Args:
        connection: `local` uses the embedded embedding model, the others their endpoint's.
        texts: at least one; OpenAI takes at most 2,048 a call.
        model: the embedding model (Azure: the deployment); `None` is OpenAI's default.

    Raises:
        ModelError: the endpoint refused or gave something else.
        UserError: Azure, and no deployment is named.
    """
    if connection.TYPE == "local":
        vectors = await in_daemon(lambda: local_embedder().embed(texts))
        return [[float(number) for number in row] for row in vectors]
    if model is None:
        if connection.TYPE != "open_ai":
            raise UserError(
                f"connection {connection.name!r}: which of its embedding models?",
                code="missing-argument",
                hint="set deployment_name (Azure) or model",
            )
        model = OPENAI_EMBEDDING_MODEL
    endpoint = await endpoint_of(connection)
    body = {"input": list(texts), "model": model, "encoding_format": "base64"}
    return await ask(endpoint, "embeddings", body, lambda answer: _vectors(answer, len(texts)))


def _vectors(answer: dict[str, Any], count: int) -> list[list[float]]:
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise ModelError(f"the endpoint gave no {count} embeddings", code="bad-answer", retryable=True)
    try:
        rows = sorted(data, key=lambda item: item.get("index", 0))
        vectors = [_vector(item["embedding"]) for item in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "the endpoint gave embeddings that are none", code="bad-answer", retryable=True
        ) from error
    scope = current.get()
    if scope is not None:
        usage = answer.get("usage")
        scope.usage.calls += 1
        scope.usage.prompt_tokens += int((usage or {}).get("prompt_tokens") or 0)
        scope.model = str(answer.get("model") or "")
    return vectors


def _vector(value: str | list[float]) -> list[float]:
    """Asked for base64, as the openai client asks; some servers give numbers all the same."""
    if isinstance(value, str):
        numbers = array("f", base64.b64decode(value, validate=True))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    return [float(number) for number in value]


async def openai_client(connection: Connection) -> AsyncOpenAI:
    """The openai package's client for a connection: for whatever of its API an llm node does not cover.

    It does not retry (the flow's own calls are paced together); Azure connections give an `AsyncAzureOpenAI`.

    Raises:
        UserError: no language model is behind the connection.
    """
    import openai  # noqa: PLC0415  # heavy: first use

    endpoint = await endpoint_of(connection)
    common: dict[str, Any] = {"max_retries": 0, "timeout": endpoint.timeout.total_seconds()}
    if endpoint.api_version is not None:
        access: dict[str, Any] = {"api_key": connection.get("api_key")}
        if endpoint.tokens is not None:
            tokens = endpoint.tokens

            async def token() -> str:
                return await token_of(tokens)

            access = {"azure_ad_token_provider": token}
        return openai.AsyncAzureOpenAI(
            base_url=endpoint.base_url, api_version=endpoint.api_version, **access, **common
        )
    headers = await endpoint.headers_now()
    key = headers.get("authorization", "").removeprefix("Bearer ")
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=key or "none",
        organization=headers.get("openai-organization"),
        **common,
    )
