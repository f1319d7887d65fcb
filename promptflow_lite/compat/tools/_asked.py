"""How do the keywords of Prompt flow's model tools become a call? Parameters apart from variables."""

from __future__ import annotations

from typing import Any

from promptflow_lite.api import models
from promptflow_lite.connections.base import Connection
from promptflow_lite.tools.parameters import CHAT, COMPLETION

__all__ = ["chat", "completion", "vision"]


def chat(connection: Connection, prompt: str, model: str, given: dict[str, Any]) -> Any:
    """A chat; whatever of `given` is no parameter is a variable of the template."""
    stream = _flag(given.pop("stream", False))
    if connection.TYPE == "azure_open_ai":
        given.pop("n", None)  # of several answers only the first was ever given
    parameters = {name: given.pop(name) for name in CHAT if name in given}
    if parameters.get("tools"):  # they come before functions, as in Prompt flow
        parameters.pop("functions", None)
        parameters.pop("function_call", None)
    return models.chat(connection, prompt, given, model=model, parameters=parameters, stream=stream)


def completion(connection: Connection, prompt: str, model: str, given: dict[str, Any]) -> Any:
    """A completion, in the same way."""
    stream = _flag(given.pop("stream", False))
    parameters = {name: given.pop(name) for name in COMPLETION if name in given}
    return models.completion(connection, prompt, given, model=model, parameters=parameters, stream=stream)


def vision(connection: Connection, prompt: str, model: str, given: dict[str, Any]) -> Any:
    """A chat with images; what its tools send where nothing is said is in Prompt flow's aoai_gpt4v.py."""
    stream = _flag(given.pop("stream", False))
    detail = str(given.get("detail") or "auto")
    parameters: dict[str, Any] = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
    parameters |= {name: given.pop(name) for name in CHAT if name in given}
    return models.chat(
        connection,
        prompt,
        given,
        model=model,
        parameters=parameters,
        stream=stream,
        images=True,
        detail=detail,
    )


def _flag(value: Any) -> bool:
    """A flag, or a function that says whether one is set, as the engine gives it."""
    return bool(value()) if callable(value) else str(value).lower() == "true"
