"""What does the endpoint take and give? The flow's own OpenAPI 3.0 document, with types and an example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.serving.chat import has_messages, roles_of
from promptflow_lite.values import to_plain

__all__ = ["document_of", "example_of"]

_TYPES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "double": {"type": "number"},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "list": {"type": "array", "items": {}},
    "object": {"title": "object"},  # or whatever else is JSON: Prompt flow refuses nothing here
    "image": {
        "type": "object",
        "description": "one key that says the type, as in data:image/png;base64, and the base64 text; or "
        "data:image/png;url and an address, which the model fetches",
        "additionalProperties": {"type": "string"},
        "minProperties": 1,
        "maxProperties": 1,
        "example": {"data:image/png;base64": "iVBORw0KGgo="},
    },
}
_TURN = {"$ref": "#/components/schemas/Turn"}
_LARGEST_SAMPLE = 1024 * 1024

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "nullable": True},
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": True},
            },
        }
    },
}
_REFUSALS = {
    "400": "the request does not fit the flow; the message names the field",
    "401": "no key, or a wrong one",
    "403": "the Host or Origin is not this endpoint's",
    "404": "no such deployment, model or path",
    "406": "neither JSON nor events will do for the caller",
    "408": "the body took too long",
    "413": "the body is too large",
    "415": "the body is no JSON",
    "429": "the queue is full; Retry-After says when to come back",
    "500": "a node of the flow failed",
    "502": "the endpoint of a model failed",
    "503": "the server is going down",
    "504": "the flow took too long",
}


def document_of(
    flow: Flow,
    *,
    title: str,
    version: str,
    outputs: list[str],
    model: str,
    keys: bool,
) -> dict[str, Any]:
    """The document.

    Args:
        flow: whose inputs and outputs it describes.
        title: the endpoint's name.
        version: of the server.
        outputs: the outputs that callers see.
        model: what an OpenAI client calls the first deployment.
        keys: whether a key is asked for.
    """
    secured: dict[str, Any] = {"security": [{"bearer": []}, {"apiKey": []}]} if keys else {}
    paths = {
        "/score": {"post": _score()},
        "/feedback": {"post": _feedback()},
        "/health": {
            "get": {
                **_get("health", "Whether it serves.", {"$ref": "#/components/schemas/Health"}),
                "security": [],
            }
        },
        "/version": {"get": _get("version", "What serves.", {"$ref": "#/components/schemas/Version"})},
        "/metrics": {"get": _text("metrics", "Counters for Prometheus.")},
        "/v1/models": {
            "get": _get("models", "The deployments that chat.", {"$ref": "#/components/schemas/Models"})
        },
    }
    if roles_of(flow) is not None:
        paths["/v1/chat/completions"] = {"post": _chat(model)}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": flow.display_name or title,
            "version": version,
            **({"description": flow.description} if flow.description else {}),
        },
        "servers": [{"url": "/"}],
        **secured,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
            "schemas": {
                "Inputs": _inputs(flow),
                "Outputs": _outputs(flow, outputs),
                "Error": _ERROR,
                "Turn": _turn(flow),
                **_OTHERS,
            },
        },
    }


def example_of(flow: Flow) -> dict[str, Any]:
    """Inputs that the flow takes: its `samples.json`, its sample, its first line of data, or its defaults."""
    for found in (_samples(flow.folder), flow.sample, _first_line(flow.folder / "data.jsonl")):
        chosen = {name: found[name] for name in flow.inputs if name in found}
        try:
            coerce_inputs(flow, chosen)
        except InputError:
            continue
        if chosen:
            return dict(to_plain(chosen))
    return {
        name: _example(spec)
        for name, spec in flow.inputs.items()
        if spec.default is None or spec.is_chat_input
    }


def _inputs(flow: Flow) -> dict[str, Any]:
    history = flow.chat_history if flow.chat_input is not None else None
    required = [n for n, spec in flow.inputs.items() if spec.default is None and n != history]
    return {
        "type": "object",
        "properties": {
            name: {**_property(spec), **({"items": _TURN} if name == history else {})}
            for name, spec in flow.inputs.items()
        },
        **({"required": required} if required else {}),
        "example": example_of(flow),
    }


def _turn(flow: Flow) -> dict[str, Any]:
    """One turn of a chat's history, in Prompt flow's form."""
    if flow.chat_input is None or flow.chat_output is None:
        return _object()
    if has_messages(flow):
        return _object(None, role=_STRING, content={})
    inputs = _object([flow.chat_input], **{flow.chat_input: {}})
    outputs = _object([flow.chat_output], **{flow.chat_output: {}})
    return _object(["inputs", "outputs"], inputs=inputs, outputs=outputs)


def _outputs(flow: Flow, shown: list[str]) -> dict[str, Any]:
    properties = {}
    for name in shown:
        spec = flow.outputs[name]
        # An output's type is documentation, and a bypassed node gives null: nothing stricter would be true.
        said = f"{spec.description} ({spec.type})" if spec.description else spec.type
        properties[name] = {"description": said, "nullable": True}
    return {"type": "object", "properties": properties}


def _property(spec: FlowInput) -> dict[str, Any]:
    made = dict(_TYPES.get(spec.type, {"type": "string"}))
    if spec.description:
        made["description"] = spec.description
    if spec.enum:
        made["enum"] = to_plain(spec.enum)
    if spec.default is not None:
        made["default"] = to_plain(spec.default)
    return made


def _example(spec: FlowInput) -> Any:
    if spec.default is not None:
        return to_plain(spec.default)
    kinds = {"int": 1, "double": 0.5, "bool": True, "list": [], "object": {}}
    return _TYPES["image"]["example"] if spec.type == "image" else kinds.get(spec.type, "text")


def _samples(folder: Path) -> Mapping[str, Any]:
    """Prompt flow's `samples.json`: an object of inputs, or a list of them."""
    found = _json(_text_of(folder / "samples.json"))
    if isinstance(found, list) and found:
        found = found[0]
    return found if isinstance(found, dict) else {}


def _first_line(file: Path) -> Mapping[str, Any]:
    found = _json(_text_of(file).partition("\n")[0])
    return found if isinstance(found, dict) else {}


def _text_of(file: Path) -> str:
    try:
        if not file.is_file():
            return ""
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(_LARGEST_SAMPLE)
    except (OSError, UnicodeDecodeError):
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _answers(schema: Mapping[str, Any], *codes: str, **kinds: Any) -> dict[str, Any]:
    refused = {
        code: {"description": _REFUSALS[code], "content": _content({"$ref": "#/components/schemas/Error"})}
        for code in codes
    }
    return {"200": {"description": "done", "content": {**_content(schema), **kinds}}, **refused}


def _get(name: str, summary: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": _answers(schema, "401", "403", "503")}


def _text(name: str, summary: str) -> dict[str, Any]:
    made = _get(name, summary, {})
    made["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return made


def _post(
    name: str, summary: str, schema: str, answers: dict[str, Any], *, required: bool = True
) -> dict[str, Any]:
    content = _content({"$ref": f"#/components/schemas/{schema}"})
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": required, "content": content},
        "responses": answers,
    }


_EVENTS = {"text/event-stream": {"schema": {"description": "server-sent events, each with JSON as its data"}}}
_OF_POST = ("400", "401", "403", "408", "413", "415", "429", "503")


def _score() -> dict[str, Any]:
    answers = _answers(
        {"$ref": "#/components/schemas/Outputs"}, *_OF_POST, "404", "406", "500", "502", "504", **_EVENTS
    )
    return _post("score", "Run the flow.", "Inputs", answers)


def _chat(model: str) -> dict[str, Any]:
    answers = _answers(
        {"$ref": "#/components/schemas/Completion"}, *_OF_POST, "404", "500", "502", "504", **_EVENTS
    )
    made = _post("chat", f"Chat as with OpenAI; the model is {model!r}.", "Chat", answers)
    return {**made, "x-model": model}


def _feedback() -> dict[str, Any]:
    answers = _answers({"$ref": "#/components/schemas/FeedbackReceived"}, *_OF_POST)
    return _post("feedback", "Say how good an earlier answer was.", "Feedback", answers)


def _object(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


_STRING = {"type": "string"}
_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"type": "string", "enum": ["text"]}, "text": _STRING},
}
_MESSAGE = _object(
    ["role", "content"],
    role={"type": "string", "enum": ["system", "developer", "user", "assistant"]},
    content={"oneOf": [_STRING, {"type": "array", "items": _PART}]},
)
_OTHERS: dict[str, Any] = {
    "Health": _object(["status", "version"], status=_STRING, version=_STRING),
    "Version": _object(["status", "version"], status=_STRING, version=_STRING, build_info=_STRING),
    "Models": _object(["data"], object=_STRING, data={"type": "array", "items": {"type": "object"}}),
    "Chat": _object(
        ["messages"],
        model={"type": "string", "nullable": True},
        messages={"type": "array", "minItems": 1, "items": _MESSAGE},
        stream={"type": "boolean", "nullable": True},
        inputs={"type": "object", "description": "the flow's other inputs", "nullable": True},
    ),
    "Completion": _object(
        ["id", "choices", "usage"],
        id=_STRING,
        choices={"type": "array", "items": {"type": "object"}},
        usage={"type": "object"},
        outputs={"type": "object", "description": "the flow's other outputs"},
    ),
    "Feedback": _object(
        None,
        request_id={
            "type": "string",
            "description": "the x-request-id of the answer",
            "maxLength": 128,
            "nullable": True,
        },
        score={"oneOf": [{"type": "number"}, {"type": "boolean"}], "nullable": True},
        comment={"type": "string", "maxLength": 10000, "nullable": True},
    ),
    "FeedbackReceived": _object(["status"], status=_STRING),
}
