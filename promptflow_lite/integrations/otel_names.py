"""What do GenAI's conventions call what is known of a model's call?

OpenTelemetry's semantic conventions for GenAI, of semantic conventions 1.41 and of the repository that they
have moved to (open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md, autumn of 2026).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from promptflow_lite.engine.results import NodeRun
from promptflow_lite.flow.builtin import EMBEDDING
from promptflow_lite.flow.spec import Node
from promptflow_lite.values import to_plain

__all__ = ["as_text", "of_model"]

_OPERATIONS = {"completion": "text_completion"}
_PROVIDERS = {"AzureOpenAI": "azure.ai.openai", "OpenAI": "openai"}
_EMBEDDED = "llama.cpp"
"""The embedded model's provider; the conventions have no name for one that is no service."""
_NUMBERS = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")
_PORTS = {"https": 443, "http": 80}


def of_model(run: NodeRun, node: Node | None, *, with_content: bool) -> tuple[str, dict[str, Any]]:
    """The name and the attributes of a model call's span.

    Args:
        run: of the node.
        node: as the flow has it, where that is known.
        with_content: whether prompts and answers are told.
    """
    operation = _operation(node)
    asked = run.inputs.get("model") or run.inputs.get("deployment_name")
    model = asked if isinstance(asked, str) else run.model
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _provider(run, node),
        "gen_ai.request.model": model,
        "gen_ai.response.model": run.model,
        "promptflow.node": run.node,
        **_request(run.inputs),
        **_server(run.endpoint),
    }
    if run.finish_reason is not None:
        attributes["gen_ai.response.finish_reasons"] = [run.finish_reason]
    if run.usage is not None:
        attributes["gen_ai.usage.input_tokens"] = run.usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = run.usage.completion_tokens
        if run.usage.cached_tokens:
            attributes["gen_ai.usage.cache_read.input_tokens"] = run.usage.cached_tokens
    if with_content:
        attributes["promptflow.inputs"] = as_text(run.inputs)
        part = {"type": "text", "content": run.output if isinstance(run.output, str) else as_text(run.output)}
        message = {"role": "assistant", "parts": [part], "finish_reason": run.finish_reason or "stop"}
        attributes["gen_ai.output.messages"] = as_text([message])
    return f"{operation} {model}" if model else operation, attributes


def as_text(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(to_plain(value), ensure_ascii=False)


def _provider(run: NodeRun, node: Node | None) -> str:
    if run.endpoint == "local":
        return _EMBEDDED
    return _PROVIDERS.get(str(node.provider) if node is not None else "", "openai")


def _operation(node: Node | None) -> str:
    if node is None:
        return "chat"
    if node.source is not None and node.source.tool in EMBEDDING:
        return "embeddings"
    return _OPERATIONS.get(str(node.api or ""), "chat")


def _request(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the request among a node's inputs."""
    found: dict[str, Any] = {}
    for key in _NUMBERS:
        value = inputs.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[f"gen_ai.request.{key}"] = value
    choices = inputs.get("n")
    if isinstance(choices, int) and choices != 1:
        found["gen_ai.request.choice.count"] = choices
    stop = inputs.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, list) and stops and all(isinstance(one, str) and one for one in stops):
        found["gen_ai.request.stop_sequences"] = stops
    form = inputs.get("response_format")
    kind = str(form.get("type")) if isinstance(form, Mapping) else None
    if kind is not None:
        found["gen_ai.output.type"] = "json" if kind.startswith("json") else kind
    return found


def _server(endpoint: str | None) -> dict[str, Any]:
    """Where the model answered; the embedded one's address says nothing."""
    if endpoint is None or endpoint == "local":
        return {}
    address = urlsplit(endpoint)
    if not address.hostname:
        return {}
    return {
        "server.address": address.hostname,
        "server.port": address.port or _PORTS.get(address.scheme, 443),
    }
