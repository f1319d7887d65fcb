"""`POST /score`: a flow's inputs in, its outputs out, as JSON or as they are written."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson

from promptflow_lite.engine.events import Chunk, NodeEnded, NodeStarted
from promptflow_lite.engine.results import LineResult, NodeRun
from promptflow_lite.flow import images
from promptflow_lite.flow.conversation import Roles, roles_of
from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving.call import Call, Receive, Scope, Send
from promptflow_lite.serving.deployment import Endpoint
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import EventStream, dumps, event, send_json
from promptflow_lite.serving.running import Part, Runs

__all__ = ["Score", "check_inputs", "is_shown", "outputs_of", "unknown_of"]

_JSON = (b"application/json", b"application/*", b"*/*")
_EVENTS = b"text/event-stream"


def is_shown(flow: Flow, name: str, only: Collection[str] | None = None) -> bool:
    """Whether callers see the output: it is not for evaluation only, or it is among `only`.

    A flow of a function or a class gives outputs that it does not declare.
    """
    if only is not None:
        return name in only
    return name not in flow.outputs or not flow.outputs[name].evaluation_only


def outputs_of(flow: Flow, line: LineResult, only: Collection[str] | None = None) -> dict[str, Any]:
    """The outputs that callers see; images with their bytes, for a path would mean nothing to them."""
    shown = {name: value for name, value in line.outputs.items() if is_shown(flow, name, only)}
    return {name: images.to_base64(value, flow.message_format) for name, value in shown.items()}


class Score:
    """The ASGI application of the path.

    Args:
        endpoint: who answers.
        runs: how.
        only: the outputs to give; `None` for all but those that are for evaluation only.
    """

    def __init__(self, endpoint: Endpoint, runs: Runs, *, only: Collection[str] | None = None) -> None:
        self._endpoint = endpoint
        self._runs = runs
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call.of(scope)
        streams = _wants_events(call.headers.get(b"accept", b""))
        deployment = self._endpoint.choose(call.headers)
        deployment.gate.check()
        flow = deployment.flow
        inputs = await call.json(receive, empty={})
        if not isinstance(inputs, dict):
            raise Refusal(400, "wrong-input", f"expected an object of inputs by name: {_names(flow)}")
        check_inputs(flow, inputs)
        call.ignore(unknown_of(flow, inputs))
        if not streams:
            line = await self._runs.result(call, deployment, inputs, receive)
            await send_json(send, 200, outputs_of(flow, line, self._only))
            return
        told = _Told(flow, EventStream(send), self._only, nodes=_wants_nodes(scope))
        try:
            line = await self._runs.streamed(call, deployment, inputs, receive, told)
        except Refusal as refusal:
            if not told.stream.is_open:
                raise
            call.code = refusal.code
            await told.stream.write(event(refusal.body(openai=False), b"error"))
        else:
            await told.rest(line)
        await told.stream.end()


class _Told:
    """What was said of a run so far."""

    def __init__(self, flow: Flow, stream: EventStream, only: Collection[str] | None, *, nodes: bool) -> None:
        self.stream = stream
        self._flow = flow
        self._only = only
        self._nodes = nodes
        self._written: set[str] = set()

    async def __call__(self, parts: Sequence[Part]) -> None:
        """Send what came, or that nothing did."""
        events = [made for part in parts if (made := self._event(part))]
        if events or not parts:
            await self.stream.write(*events)

    def _event(self, part: Part) -> bytes | None:
        if not isinstance(part, Chunk):
            return event(dumps(_progress(part)), b"node") if self._nodes else None
        names = [name for name in part.outputs if is_shown(self._flow, name, self._only)]
        self._written.update(names)
        return event(dumps(dict.fromkeys(names, part.text))) if names else None

    async def rest(self, line: LineResult) -> None:
        """Send the outputs that were not written part by part."""
        found = outputs_of(self._flow, line, self._only)
        outputs = {name: value for name, value in found.items() if name not in self._written}
        if outputs or not self.stream.is_open:
            await self.stream.write(event(dumps(outputs)))


def _progress(part: NodeStarted | NodeEnded) -> dict[str, Any]:
    """What a watcher sees of a node: no input, no output."""
    if isinstance(part, NodeStarted):
        return {"node": part.node, "status": "Running"}
    run: NodeRun = part.run
    tokens = {"tokens": run.usage.total_tokens} if run.usage else {}
    return {"node": run.node, "status": run.status.value, "seconds": round(run.seconds, 4), **tokens}


def _wants_events(accept: bytes) -> bool:
    """Whether the answer shall be server-sent events.

    Raises:
        Refusal: 406, neither events nor JSON will do.
    """
    if not accept:
        return False
    kinds = [kind.partition(b";")[0].strip().lower() for kind in accept.split(b",")]
    if _EVENTS in kinds:
        return True
    if any(kind in _JSON for kind in kinds):
        return False
    raise Refusal(406, "not-acceptable", "answers are application/json or text/event-stream")


def _wants_nodes(scope: Scope) -> bool:
    query = scope.get("query_string") or b""
    return b"nodes" in query and parse_qs(query.decode("latin-1")).get("nodes") == ["true"]


def unknown_of(flow: Flow, inputs: Mapping[str, Any]) -> list[str]:
    """What the flow has no input for, as `inputs.NAME`: Prompt flow's callers may send more than it takes."""
    return [f"inputs.{name}" for name in inputs if name not in flow.inputs]


def check_inputs(flow: Flow, inputs: Mapping[str, Any]) -> None:
    """Refuse values of another JSON type than the schema says, and what only a file of the author's may say.

    Text that reads as the type (`"3"` for an int) is taken, as by Prompt flow; what it would cut (3.9 for an
    int) or turn into the text of a Python value (null for a string) is not.

    Raises:
        Refusal: 400, every such input.
    """
    wrong = [
        f"inputs.{name}: {complaint}"
        for name, spec in flow.inputs.items()
        if name in inputs and (complaint := _complaint(name, spec.type, inputs[name], flow))
    ]
    if wrong:
        raise Refusal(400, "wrong-input", "\n".join(wrong), param="inputs")


def _complaint(name: str, kind: str, value: Any, flow: Flow) -> str | None:
    expected, accepts = _ACCEPTS.get(kind, ("", None))
    if accepts is not None and not isinstance(value, str) and not accepts(value):
        return f"expected {expected}, got {_kind(value)}"
    if kind == "image" and isinstance(value, str) and not _brings_image(value):
        return "expected an image as base64 text or by its address"
    roles = roles_of(flow)
    if roles is not None and name == roles.history and not _is_history(value, roles):
        if roles.as_messages:
            return "expected a list of messages, each {'role': ..., 'content': ...}"
        turn = f"{{'inputs': {{{roles.question!r}: ...}}, 'outputs': {{{roles.answer!r}: ...}}}}"
        return f"expected a list of turns, each {turn}"
    return None


_ACCEPTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", lambda value: False),
    "int": ("an int", lambda value: type(value) is int or (type(value) is float and value.is_integer())),
    "double": ("a double", lambda value: type(value) in (int, float)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "image": ("an image", lambda value: isinstance(value, dict)),
}
"""What each type takes beside text."""


def _brings_image(text: str) -> bool:
    if text.startswith(("data:image/", "https://", "http://")):
        return True
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _is_history(value: Any, roles: Roles) -> bool:
    """Whether a chat flow's templates can read it; text is left to the flow, which takes JSON there."""
    if isinstance(value, str):
        return True
    if roles.as_messages:
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return isinstance(value, list) and all(
        isinstance(turn, dict)
        and all(
            isinstance(turn.get(side), dict) and name in turn[side]
            for side, name in (("inputs", roles.question), ("outputs", roles.answer))
        )
        for turn in value
    )


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return orjson.dumps(value).decode()


def _names(flow: Flow) -> str:
    return ", ".join(flow.inputs) or "none"
