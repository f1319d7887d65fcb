"""`/v1/chat/completions` and `/v1/models`: a chat flow for any OpenAI client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from promptflow_lite.engine.events import Chunk
from promptflow_lite.engine.results import LineResult
from promptflow_lite.flow.conversation import Roles, roles_of
from promptflow_lite.serving import chat
from promptflow_lite.serving.call import Call, Receive, Scope, Send
from promptflow_lite.serving.deployment import Deployment, Endpoint
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import EventStream, dumps, event, send_json
from promptflow_lite.serving.running import Part, Runs
from promptflow_lite.serving.score import check_inputs, outputs_of, unknown_of

__all__ = ["Completions", "Models"]


class Completions:
    """The ASGI application of `/v1/chat/completions`."""

    def __init__(self, endpoint: Endpoint, runs: Runs) -> None:
        self._endpoint = endpoint
        self._runs = runs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call.of(scope)
        asked = chat.read(await call.json(receive))
        deployment = self._endpoint.choose(call.headers, asked.model)
        call.deployment = deployment.name
        roles = roles_of(deployment.flow)
        if roles is None:
            message = f"{deployment.name!r} is no chat flow: no input of it has is_chat_input"
            raise Refusal(404, "model-not-found", message, param="model")
        inputs = chat.inputs_of(deployment.flow, roles, asked)
        check_inputs(deployment.flow, inputs)
        call.ignore([*asked.ignored, *unknown_of(deployment.flow, inputs)])
        if asked.stream:
            await self._stream(call, deployment, roles, inputs, asked, receive, send)
            return
        line = await self._runs.result(call, deployment, inputs, receive)
        outputs = outputs_of(deployment.flow, line)
        text = chat.text_of(outputs.pop(roles.answer, None))
        reason = chat.finish_reason_of(deployment.flow, line)
        made = chat.completion(call.request_id, deployment.name, text, line, outputs, finish_reason=reason)
        await send_json(send, 200, made)

    async def _stream(
        self,
        call: Call,
        deployment: Deployment,
        roles: Roles,
        inputs: dict[str, Any],
        asked: chat.Asked,
        receive: Receive,
        send: Send,
    ) -> None:
        told = _Told(call, deployment, roles, EventStream(send), with_usage=asked.with_usage)
        try:
            line = await self._runs.streamed(call, deployment, inputs, receive, told)
        except Refusal as refusal:
            if not told.stream.is_open:
                raise
            call.code = refusal.code
            await told.stream.write(event(refusal.body(openai=True)))
        else:
            await told.rest(line)
        await told.stream.write(event(b"[DONE]"))
        await told.stream.end()


class Models:
    """The ASGI application of `/v1/models` and `/v1/models/{model}`: the endpoint and its chats."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        chats = [name for name, d in self._endpoint.deployments.items() if roles_of(d.flow)]
        if chats and self._endpoint.name not in chats:  # whichever deployment the endpoint chooses
            chats.insert(0, self._endpoint.name)
        models = {name: self._model(name) for name in chats}
        asked = scope.get("path_params", {}).get("model")
        if asked is None:
            await send_json(send, 200, {"object": "list", "data": list(models.values())})
        elif asked in models:
            await send_json(send, 200, models[asked])
        else:
            raise Refusal(404, "model-not-found", f"no model is named {asked[:100]!r}", param="model")

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "promptflow_lite"}


class _Told:
    """What was said of a run so far."""

    def __init__(
        self, call: Call, deployment: Deployment, roles: Roles, stream: EventStream, *, with_usage: bool
    ) -> None:
        self.stream = stream
        self._id = call.request_id
        self._model = deployment.name
        self._flow = deployment.flow
        self._answer = roles.answer
        self._with_usage = with_usage
        self._written = False

    async def __call__(self, parts: Sequence[Part]) -> None:
        """Send what came, or that nothing did."""
        texts = [part.text for part in parts if isinstance(part, Chunk) and self._answer in part.outputs]
        if texts or not parts:
            await self.stream.write(*(made for text in texts for made in self._events(text)))

    async def rest(self, line: LineResult) -> None:
        """Send what was not written part by part, the reason of the end, and the tokens if asked for."""
        outputs = outputs_of(self._flow, line)
        text = chat.text_of(outputs.pop(self._answer, None))
        events = [] if self._written else self._events(text)
        reason = chat.finish_reason_of(self._flow, line)
        last = self._chunk({}, finish_reason=reason) | ({"outputs": outputs} if outputs else {})
        if self._with_usage:
            usage = {**self._chunk({}), "choices": [], "usage": chat.usage_of(line)}
            events += [event(dumps({**last, "usage": None})), event(dumps(usage))]
        else:
            events.append(event(dumps(last)))
        await self.stream.write(*events)

    def _events(self, text: str) -> list[bytes]:
        """A part of the answer; before the first one, whose it is."""
        made = [] if self._written else [event(dumps(self._chunk({"role": "assistant", "content": ""})))]
        self._written = True
        return [*made, event(dumps(self._chunk({"content": text})))]

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
        return chat.chunk(self._id, self._model, delta, finish_reason=finish_reason)
