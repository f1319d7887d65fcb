"""What does an OpenAI chat request mean to a chat flow, and its answer to the caller? Pure translation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from promptflow_lite.engine.results import LineResult
from promptflow_lite.flow.conversation import Roles
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving.refusal import Refusal

__all__ = [
    "Asked",
    "chunk",
    "completion",
    "finish_reason_of",
    "inputs_of",
    "read",
    "text_of",
    "usage_of",
]

_REFUSED = {
    "tools": "a flow calls its own tools",
    "functions": "a flow calls its own tools",
    "logprobs": "a flow gives no log probabilities",
    "audio": "a flow gives no audio",
}
"""What would change the answer's shape, and cannot be had of a flow."""
_IGNORED: tuple[str, ...] = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
)
_IGNORED += ("frequency_penalty", "logit_bias", "reasoning_effort", "verbosity", "prediction")
"""What the flow's author decides; named in the header `x-ignored`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request, read."""

    model: str | None
    stream: bool
    with_usage: bool
    """Whether a stream ends with the tokens."""
    question: Any
    """The last message: text, or a list of texts and images."""
    history: tuple[tuple[Any, Any], ...]
    """What was asked and answered before."""
    inputs: dict[str, Any] = field(default_factory=dict)
    """The flow's other inputs (`inputs`, ours)."""
    ignored: tuple[str, ...] = ()
    """What the request says and the flow does not hear."""


def read(body: Any) -> Asked:
    """What a request asks.

    Raises:
        Refusal: 400, it asks for what no flow gives, or is no chat request.
    """
    if not isinstance(body, dict):
        raise _wrong("expected an object with 'messages'", None)
    for name, why in _REFUSED.items():
        if body.get(name):
            raise _wrong(f"{name}: {why}", name)
    if body.get("n") not in (None, 1):
        raise _wrong("n: a flow gives one answer", "n")
    form = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
        raise _wrong(
            "response_format: the flow decides the form of its answer; expected 'text'", "response_format"
        )
    stream, options = body.get("stream"), body.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong("stream: expected true or false", "stream")
    if options is not None and not isinstance(options, dict):
        raise _wrong("stream_options: expected an object", "stream_options")
    model, inputs = body.get("model"), body.get("inputs")
    if model is not None and not isinstance(model, str):
        raise _wrong("model: expected a string", "model")
    if inputs is not None and not isinstance(inputs, dict):
        raise _wrong("inputs: expected an object of the flow's other inputs by name", "inputs")
    question, history, ignored = _conversation(body.get("messages"))
    return Asked(
        model,
        bool(stream),
        bool((options or {}).get("include_usage")),
        question,
        history,
        inputs or {},
        (*ignored, *(name for name in _IGNORED if body.get(name) is not None)),
    )


def inputs_of(flow: Flow, roles: Roles, asked: Asked) -> dict[str, Any]:
    """The flow's inputs for the request; earlier turns in Prompt flow's form of a history.

    Raises:
        Refusal: 400, images for a flow whose chat input takes text only.
    """
    takes_parts = flow.inputs[roles.question].type == "list"
    inputs = {**asked.inputs, roles.question: _content(asked.question, flow, takes_parts)}
    if roles.history is not None and roles.as_messages:
        inputs[roles.history] = [
            {"role": role, "content": _content(content, flow, takes_parts=True, alone=True)}
            for turn in asked.history
            for role, content in zip(("user", "assistant"), turn, strict=True)
            if content
        ]
    elif roles.history is not None:
        inputs[roles.history] = [
            {
                "inputs": {roles.question: _content(question, flow, takes_parts)},
                "outputs": {roles.answer: answer},
            }
            for question, answer in asked.history
        ]
    return inputs


def finish_reason_of(flow: Flow, line: LineResult) -> str:
    """`length` if the model whose text is the answer was cut short, otherwise `stop`."""
    reference = flow.outputs[flow.chat_output].reference if flow.chat_output in flow.outputs else None
    run = line.node_runs.get(reference.name) if isinstance(reference, Ref) else None
    return "length" if run is not None and run.finish_reason == "length" else "stop"


def completion(
    request_id: str, model: str, text: str, line: LineResult, others: Mapping[str, Any], *, finish_reason: str
) -> dict[str, Any]:
    """A chat completion; the flow's other outputs are under `outputs` (ours)."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    made = {**_envelope(request_id, "chat.completion", model), "choices": [choice], "usage": usage_of(line)}
    return {**made, "outputs": dict(others)} if others else made


def chunk(
    request_id: str, model: str, delta: Mapping[str, Any], *, finish_reason: str | None = None
) -> dict[str, Any]:
    """One event of a streamed completion."""
    choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
    return {**_envelope(request_id, "chat.completion.chunk", model), "choices": [choice]}


def usage_of(line: LineResult) -> dict[str, int]:
    """The tokens of all models that the flow asked."""
    usage = line.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def text_of(value: Any) -> str:
    """An output as the text of a message."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def _envelope(request_id: str, kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{request_id}", "object": kind, "created": int(time.time()), "model": model}


def _conversation(messages: Any) -> tuple[Any, tuple[tuple[Any, Any], ...], list[str]]:
    """The last question, the turns before it, and the messages that a flow does not hear.

    Answers after the last question are not heard: the question is answered anew. Where the user said nothing,
    the last message is the question.
    """
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages: expected a list with at least one message", "messages")
    ignored: list[str] = []
    turns: list[_Turn] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("system", "developer", "user", "assistant"):
            raise _wrong(f"{where}.role: expected system, developer, user or assistant", "messages")
        if message.get("tool_calls") or message.get("function_call"):
            raise _wrong(f"{where}: a flow calls its own tools", "messages")
        empty = "" if role == "assistant" else None
        content = _parts(message.get("content") if message.get("content") is not None else empty, where)
        if role in ("system", "developer"):
            ignored.append(where)
            continue
        if not turns or (role == "user" and turns[-1].answers):
            turns.append(_Turn())
        turns[-1].add(role, content, where)
    if not any(turn.questions for turn in turns):
        return content, (), [f"messages[{n}]" for n in range(len(messages) - 1)]
    while not turns[-1].questions:
        ignored += turns.pop().said
    last = turns.pop()
    ignored += last.said[len(last.questions) :]
    return _joined(last.questions), tuple((_joined(t.questions), _joined(t.answers)) for t in turns), ignored


@dataclass(slots=True)
class _Turn:
    """Questions in a row, and the answers in a row that follow them."""

    questions: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Where each of them stands among the messages."""

    def add(self, role: str, content: Any, where: str) -> None:
        (self.questions if role == "user" else self.answers).append(content)
        self.said.append(where)


def _parts(content: Any, where: str) -> str | list[Any]:
    """A message's content: text, or a list of texts and images."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(f"{where}.content: expected text or a list of parts", "messages")
    parts: list[Any] = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal") and isinstance(part.get(kind), str):
            parts.append(part[kind])
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            parts.append(_image(part["image_url"].get("url"), f"{where}.content[{at}]"))
        else:
            raise _wrong(f"{where}.content[{at}]: expected a text or an image_url part", "messages")
    return parts if any(isinstance(part, dict) for part in parts) else "\n".join(parts)


def _image(url: Any, where: str) -> dict[str, str]:
    """An image in Prompt flow's basic form; an address is handed on, never fetched."""
    if isinstance(url, str) and url.startswith("data:image/"):
        head, _, text = url.partition(",")
        kind, _, how = head.partition(";")
        if how == "base64":
            return {f"{kind};base64": text}
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return {"data:image/*;url": url}
    raise _wrong(f"{where}.image_url.url: expected data:image/...;base64,... or an address", "messages")


def _joined(contents: Sequence[str | list[Any]]) -> str | list[Any]:
    """Messages of one role in a row, as one."""
    if len(contents) == 1:
        return contents[0]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(map(str, contents))
    return [part for content in contents for part in ([content] if isinstance(content, str) else content)]


def _content(content: Any, flow: Flow, takes_parts: bool, *, alone: bool = False) -> Any:
    if isinstance(content, str):
        return [content] if takes_parts and not alone else content
    if not takes_parts:
        raise _wrong("messages: this flow takes no images; its chat input is text", "messages")
    return [_in_format(part, flow) for part in content]


def _in_format(part: Any, flow: Flow) -> Any:
    if flow.message_format != "openai-vision":
        return part
    if isinstance(part, str):
        return {"type": "text", "text": part}
    [(key, value)] = part.items()
    return {"type": "image_url", "image_url": {"url": value if key.endswith("url") else f"{key},{value}"}}


def _wrong(message: str, param: str | None) -> Refusal:
    return Refusal(400, "wrong-input", message, param=param)
