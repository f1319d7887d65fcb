"""How is a language model called for one line? The prompt, rendered, as a chat or a completion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.tools.answer import of_chat, of_completion, text_parts
from promptflow_lite.tools.endpoint import Endpoint, address_of, endpoint_of, model_of
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.parameters import CHAT, COMPLETION, DEFAULTS, MODEL_NAMES, Parameter
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.wire import ask, gather, stream

__all__ = ["Caller", "Compose", "read_parameters"]

Compose = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Template variables to the part of the request that holds the prompt."""


class Caller:
    """The callable of one llm node.

    Args:
        connection: of a language model.
        api: `chat` or `completion`.
        compose: makes the prompt's part of the request.
        fixed: parameters of the request, read.
        moving: how to read those among the inputs.
        parameters: the names of inputs that are no variables of the prompt.
        model: which, where the inputs name none.
        streams: whether the answer comes in parts; `None`: as the running node is asked to.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        api: str,
        compose: Compose,
        fixed: Mapping[str, Any],
        moving: Mapping[str, Parameter],
        parameters: frozenset[str],
        model: str | None,
        streams: bool | None = None,
    ) -> None:
        self._connection = connection
        self._operation = "chat/completions" if api == "chat" else "completions"
        self._answer = of_chat if api == "chat" else of_completion
        self._compose = compose
        self._fixed = fixed
        self._moving = moving
        self._parameters = parameters
        self._model = model
        self._streams = streams
        self._endpoints: dict[str | None, Endpoint] = {}

    def __call__(self, **inputs: Any) -> Awaitable[Any]:
        """What the model says for these inputs."""
        return self._call(inputs)

    @property
    def address(self) -> str | None:
        """Where the model is asked, as far as that is known before; `local` is the embedded one."""
        return address_of(self._connection)

    def request(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The request that these inputs make; nothing is sent.

        Raises:
            ModelError: a parameter is none.
            PromptflowError: the prompt cannot be rendered.
        """
        return self._request(inputs)[1]

    def _request(self, inputs: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
        model = self._model
        body = {"model": model, **self._fixed}
        for name, read in self._moving.items():
            value = _read(name, read, inputs.get(name))
            if name in MODEL_NAMES:
                body["model"] = model = model_of(self._connection, value) or model
            elif value is not None:
                body[name] = value
        values = {name: value for name, value in inputs.items() if name not in self._parameters}
        body.update(self._compose(values))
        return model, body

    async def _call(self, inputs: dict[str, Any]) -> Any:
        model, body = self._request(inputs)
        endpoint = self._endpoints.get(model) or await self._endpoint(model)
        if endpoint.model is not None:
            body["model"] = endpoint.model
        scope = current.get()
        is_wanted = self._streams
        if is_wanted is None:
            is_wanted = scope is not None and scope.stream
        if (is_wanted or endpoint.stops_if_streaming) and "tools" not in body and "functions" not in body:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            if is_wanted:
                return text_parts(stream(endpoint, self._operation, body), body, scope)
            return await gather(
                endpoint, self._operation, body, lambda events: text_parts(events, body, scope)
            )
        return await ask(endpoint, self._operation, body, lambda answer: self._answer(answer, body, scope))

    async def _endpoint(self, model: str | None) -> Endpoint:
        endpoint = self._endpoints[model] = await endpoint_of(self._connection, model)
        return endpoint


def read_parameters(api: str, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The parameters of a call as the request has them, defaults filled in.

    Args:
        api: `chat` or `completion`.
        given: by name; what says nothing is left out.
        kind: the connection's type.

    Raises:
        ModelError: a value is none for its parameter (`bad-request`).
    """
    known = {"chat": CHAT, "completion": COMPLETION}[api]
    values = {name: _read(name, known[name], value) for name, value in given.items() if value not in _EMPTY}
    defaults = {**DEFAULTS[api], **({"n": 1} if api == "chat" and kind == "azure_open_ai" else {})}
    return {**defaults, **{name: value for name, value in values.items() if value is not None}}


_EMPTY: tuple[Any, ...] = (None, "", {}, [])


def _read(name: str, read: Parameter, value: Any) -> Any:
    if value is None or value == "":
        return None
    try:
        return read(value)
    except ValueError as error:
        raise ModelError(f"inputs.{name}: {error}", code="bad-request") from None
