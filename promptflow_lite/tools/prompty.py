"""What does a prompty call? Its template, rendered, as a chat or completion of the model that it names.

Prompt flow: core/_flow.py `Prompty`, core/_prompty_utils.py (flow-language 4.1). What is sent is what the
file says: no parameter has a default of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.kinds import is_language_model
from promptflow_lite.errors import Diagnostic, FlowError, InputError, UserError
from promptflow_lite.flow.images import load_image
from promptflow_lite.flow.prompty import Prompt, template_of
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.prompts.chat import compile_chat
from promptflow_lite.prompts.quotation import without_chat_format
from promptflow_lite.prompts.template import compile
from promptflow_lite.tools.answer import of_chat, of_completion, text_parts
from promptflow_lite.tools.configured import connection_of, resolved
from promptflow_lite.tools.endpoint import Endpoint, address_of, endpoint_of, model_of, warmers_of
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.scope import current
from promptflow_lite.tools.tool import Made, Tool
from promptflow_lite.tools.wire import ask, gather, stream

__all__ = ["Asking", "asking_of", "make", "rendered"]

_IMAGE = re.compile(r"data:image/([^;]*);(path|base64|url):\s*(.*)", re.DOTALL)
_MESSAGE = dict.fromkeys(
    ("content", "refusal", "role", "annotations", "audio", "function_call", "tool_calls")
)
"""The keys of a message as the openai package writes them, which users' code may ask for."""
_OF_THE_CLIENT = ("extra_headers", "extra_body", "extra_query", "timeout", "stream")


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a prompty.

    Raises:
        FlowError: everything that is wrong with its template, its variables and its connection.
    """
    try:
        asking, why = asking_of(_overridden(node, flow), connections)
    except UserError as error:
        if isinstance(error, FlowError):
            raise
        mark = flow.at("model", "configuration")
        raise FlowError([Diagnostic(error.code, error.message, mark, error.hint)]) from error

    tool = Tool(
        node.name, _Call(asking), {}, mode="async", accepts_extra=True, description=flow.description or ""
    )
    shown = f" ({asking.model})" if asking.model else ""
    return Made(
        tool,
        notes=(f"connection {asking.connection.name!r}{shown}: {why}",) if why else (),
        warmers=warmers_of(asking.connection, asking.model),
    )


def _overridden(node: Node, flow: Flow) -> Flow:
    """The prompty with the connection or model that a run gave its node, as it does for llm nodes."""
    changes = {
        name: value
        for name in ("connection", "deployment_name", "model")
        if isinstance(value := node.inputs.get(name), str) and value
    }
    if not changes:
        return flow
    prompt: Prompt = node.settings
    named = changes.get("deployment_name") or changes.get("model") or prompt.model
    own = prompt.configuration if isinstance(prompt.configuration, dict) else {}
    kept = {"connection": changes["connection"]} if "connection" in changes else own
    configuration = {**kept, **({"azure_deployment": named} if named else {})}
    return flow.derive(nodes=(node.derive(settings=replace(prompt, configuration=configuration)),))


def rendered(flow: Flow, inputs: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """The messages, as the API takes them; the text of a completion.

    Args:
        flow: a prompty.
        inputs: by name; text that means an image, such as `data:image/png;path:a.png`, becomes one.

    Raises:
        NodeError: as `ChatTemplate.render`.
        FlowError: the template is none.
    """
    prompt: Prompt = flow.nodes[0].settings
    values = {name: _image_of(value, flow) for name, value in inputs.items()}
    text = template_of(prompt)
    if prompt.api == "completion":
        return compile(text, prompt.file).render(values)
    chat = compile_chat(text, prompt.file, images=True, lists_as_lines=True)
    return [message.to_openai() for message in chat.render(values)]


def _image_of(value: Any, flow: Flow) -> Any:
    """`value`, or the image that its text means: `data:image/png;path:a.png`, `;base64:...`, `;url:...`.

    A path stays in the folder of the file, but for what the file itself says in its sample and its defaults.

    Raises:
        InputError: a path leads nowhere or out of the folder, or base64 text is none.
    """
    match = _IMAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    kind, how, where = match[1], match[2], match[3].strip()
    folders = [flow.folder]
    if value in (*flow.sample.values(), *(spec.default for spec in flow.inputs.values())):
        folders.append((flow.folder / where).resolve().parent if how == "path" else flow.folder)
        where = str((flow.folder / where).resolve()) if how == "path" else where
    try:
        return load_image({f"data:image/{kind};{how}": where}, "basic", folders)
    except ValueError as error:
        raise InputError(str(error), code="wrong-input") from None


class _Call:
    """The callable of a prompty's node."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.address = address_of(asking.connection)
        self.request = asking.request

    async def __call__(self, **inputs: Any) -> Any:
        return await self._asking.answer(inputs)


@dataclass(frozen=True)
class Asking:
    """A prompt and the model that it is put to."""

    flow: Flow
    connection: Connection
    model: str | None
    parameters: Mapping[str, Any]
    """Those of the call, variables read."""

    @property
    def prompt(self) -> Prompt:
        """What the file says."""
        prompt: Prompt = self.flow.nodes[0].settings
        return prompt

    def request(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The request that these inputs make; nothing is sent."""
        return self._body(inputs)

    async def answer(self, inputs: Mapping[str, Any], *, timeout_s: float | None = None) -> Any:
        """What the model says: text, a mapping for JSON and calls of tools, an async iterator for a stream.

        With `response: all` it is the whole answer, as an object of the openai package.

        Raises:
            ModelError: the model did not answer, or not in JSON; an answer lacks a key of `outputs`.
        """
        endpoint = await self._endpoint(timeout_s)
        is_completion = self.prompt.api == "completion"
        operation = "completions" if is_completion else "chat/completions"
        body = self._body(inputs)
        if endpoint.model is not None:
            body["model"] = endpoint.model
        scope = current.get()
        takes_all = self.prompt.response == "all"
        is_plain = not takes_all and not _is_json(body) and not {"tools", "functions"} & body.keys()
        is_wanted = bool(self.parameters.get("stream")) or (scope is not None and scope.stream)
        if takes_all and self.parameters.get("stream"):
            body["stream"] = True
            return _chunks(stream(endpoint, operation, body), is_completion=is_completion)
        if is_plain and (is_wanted or endpoint.stops_if_streaming):
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            if is_wanted:
                return text_parts(stream(endpoint, operation, body), body, scope)
            return await gather(endpoint, operation, body, lambda events: text_parts(events, body, scope))

        def understood(answer: dict[str, Any]) -> Any:
            said = (of_completion if is_completion else of_chat)(answer, body, scope)
            return _whole(answer, is_completion=is_completion) if takes_all else self._picked(said)

        return await ask(endpoint, operation, body, understood)

    def _body(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        body = {"model": self.model, **self.parameters, **(self.parameters.get("extra_body") or {})}
        for name in _OF_THE_CLIENT:
            body.pop(name, None)
        if body.get("tools"):
            body.setdefault("tool_choice", "auto")
        elif body.get("functions"):
            body.setdefault("function_call", "auto")
        text = rendered(self.flow, inputs)
        if isinstance(text, str):
            return body | {"prompt": text}
        if self.connection.TYPE == "local":
            text = [_closed(message) for message in text]
        return body | {"messages": text}

    async def _endpoint(self, timeout_s: float | None) -> Endpoint:
        endpoint = await endpoint_of(self.connection, self.model)
        seconds = timeout_s or self.parameters.get("timeout")
        if seconds:
            endpoint = replace(endpoint, timeout=timedelta(seconds=float(seconds)))
        extra = self.parameters.get("extra_headers")
        if extra and endpoint.headers is not None:
            endpoint = replace(
                endpoint, headers={**endpoint.headers, **{str(k): str(v) for k, v in extra.items()}}
            )
        return endpoint

    def _picked(self, said: Any) -> Any:
        """The message where it calls tools, else its text; of JSON the keys that `outputs` names."""
        if isinstance(said, dict):
            calls = said.get("tool_calls") or said.get("function_call")
            if calls:
                return {**_MESSAGE, **said}
            said = said.get("content") or ""
        if not _is_json(self.parameters):
            return said
        try:
            found = json.loads(said)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the answer is no JSON ({error}): {said[:200]!r}", code="bad-answer") from None
        if not self.prompt.keys:
            return found
        lacking = [key for key in self.prompt.keys if not isinstance(found, dict) or key not in found]
        if lacking:
            has = ", ".join(map(repr, found)) if isinstance(found, dict) else f"no keys: {said[:200]!r}"
            message = f"the answer lacks {', '.join(map(repr, lacking))}, which outputs names; it has {has}"
            raise ModelError(message, code="bad-answer")
        return {key: found[key] for key in self.prompt.keys}


def asking_of(flow: Flow, connections: ConnectionProvider) -> tuple[Asking, str | None]:
    """A prompty with its connection found, and why it is that one where the file names none.

    Raises:
        UserError: the connection does not exist, or is none of a language model; a variable is not set.
        FlowError: the template is none.
    """
    prompt: Prompt = flow.nodes[0].settings
    connection, why = connection_of(prompt.configuration, connections)
    if not is_language_model(connection):
        message = f"connection {connection.name!r} of type {connection.TYPE!r} has no language model"
        raise UserError(message, code="wrong-connection")
    named = resolved(prompt.model) if prompt.model else None
    model = model_of(connection, named)
    if model is None and connection.TYPE == "azure_open_ai":
        raise UserError(
            "the configuration names no deployment", code="missing-argument", hint="set azure_deployment"
        )
    compile_chat(template_of(prompt), prompt.file, images=True, lists_as_lines=True)
    return Asking(flow, connection, model, resolved(prompt.parameters)), why


def _is_json(parameters: Mapping[str, Any]) -> bool:
    wanted = parameters.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") == "json_object"


def _closed(message: dict[str, Any]) -> dict[str, Any]:
    """The message for the embedded model's server, which would take `<|im_end|>` in it for its end."""
    content = message.get("content")
    return message | {"content": without_chat_format(content)} if isinstance(content, str) else message


def _whole(answer: Mapping[str, Any], *, is_completion: bool) -> Any:
    from openai.types import Completion  # noqa: PLC0415  # heavy: first use
    from openai.types.chat import ChatCompletion  # noqa: PLC0415  # heavy: first use

    kind: Callable[..., Any] = Completion.model_construct if is_completion else ChatCompletion.model_construct
    try:
        return (Completion if is_completion else ChatCompletion).model_validate(dict(answer))
    except ValueError:  # an endpoint that leaves out what OpenAI's never does
        return kind(**answer)


async def _chunks(events: AsyncIterator[Mapping[str, Any]], *, is_completion: bool) -> AsyncIterator[Any]:
    from openai.types import Completion  # noqa: PLC0415  # heavy: first use
    from openai.types.chat import ChatCompletionChunk  # noqa: PLC0415  # heavy: first use

    kind = Completion if is_completion else ChatCompletionChunk
    async for event in events:
        yield kind.model_validate(dict(event))
