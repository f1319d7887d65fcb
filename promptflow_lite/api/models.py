"""How does Python code ask a model by a template of its own? `chat`, `completion` and `embedding`, in sync.

What Prompt flow's `promptflow.tools` are made of. In a tool of a running flow the calls are paced together
with the flow's llm nodes, and their tokens are the node's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from promptflow_lite.api.beside import parts_of, wait_for
from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import is_language_model
from promptflow_lite.errors import UserError
from promptflow_lite.prompts import template
from promptflow_lite.prompts.chat import ChatTemplate, PromptText, compile_chat
from promptflow_lite.tools.caller import Caller, Compose, read_parameters
from promptflow_lite.tools.clients import embed
from promptflow_lite.tools.endpoint import model_of
from promptflow_lite.tools.llm import closed

__all__ = ["chat", "completion", "embedding"]

_FILE = "prompt"


def chat(
    connection: Connection,
    prompt: str,
    values: Mapping[str, Any],
    *,
    model: str | None,
    parameters: Mapping[str, Any],
    stream: bool = False,
    images: bool = False,
    detail: str = "auto",
) -> Any:
    """What a model says to a chat template: text, its parts, or the message where tools were offered.

    Args:
        connection: of a language model.
        prompt: jinja2 with role lines; what a prompt node gave is sent as it is, with its author's roles.
        values: the template's variables.
        model: its name, or the deployment's.
        parameters: of the call, such as `temperature`.
        stream: give an iterator of parts.
        images: whether images among the values become parts of messages.
        detail: how closely the model looks at them.

    Raises:
        ModelError: the endpoint refused, or did not answer sensibly in time.
        NodeError: the prompt is no chat prompt.
    """
    lines = images or connection.TYPE == "azure_open_ai"
    made = compile_chat(_template(prompt), _FILE, images=images, lists_as_lines=lines)
    variables = {"prompt": prompt} if isinstance(prompt, PromptText) else values
    compose = _messages(made, detail, is_local=connection.TYPE == "local")
    return _ask(connection, "chat", compose, variables, model, parameters, stream=stream)


def completion(
    connection: Connection,
    prompt: str,
    values: Mapping[str, Any],
    *,
    model: str | None,
    parameters: Mapping[str, Any],
    stream: bool = False,
) -> Any:
    """How a model goes on from a template's text.

    Raises:
        ModelError: as `chat`.
    """
    text = str(prompt) if isinstance(prompt, PromptText) else template.compile(prompt, _FILE).render(values)
    compose: Compose = lambda values: {"prompt": text}  # noqa: E731  # a Compose that needs no name
    return _ask(connection, "completion", compose, {}, model, parameters, stream=stream)


def embedding(connection: Connection, text: str, *, model: str | None) -> list[float]:
    """The vector of a text.

    Raises:
        ModelError: as `chat`.
    """
    [vector] = wait_for(embed(connection, [text], model))
    return vector


def _template(prompt: str) -> str:
    return "{{ prompt }}" if isinstance(prompt, PromptText) else prompt


def _messages(made: ChatTemplate, detail: str, *, is_local: bool) -> Compose:
    def compose(values: Mapping[str, Any]) -> dict[str, Any]:
        messages = [message.to_openai() for message in made.render(values, detail=detail)]
        return {"messages": [closed(message) for message in messages] if is_local else messages}

    return compose


def _ask(
    connection: Connection,
    api: str,
    compose: Compose,
    values: Mapping[str, Any],
    model: str | None,
    parameters: Mapping[str, Any],
    *,
    stream: bool,
) -> Any:
    if not is_language_model(connection):
        raise UserError(
            f"connection {connection.name!r} of type {connection.TYPE!r} has no language model",
            code="wrong-connection",
        )
    caller = Caller(
        connection=connection,
        api=api,
        compose=compose,
        fixed=read_parameters(api, parameters, connection.TYPE),
        moving={},
        parameters=frozenset(),
        model=model_of(connection, model or None),
        streams=stream,
    )

    async def answer() -> Any:
        return await caller(**values)

    said = wait_for(answer())
    return parts_of(said) if isinstance(said, AsyncIterator) else said
