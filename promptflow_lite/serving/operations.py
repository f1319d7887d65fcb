"""Which operations does an endpoint have, and how do they answer? What no flow changes of the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SHAPES", "answers", "chat", "content", "fields", "paths", "ref"]

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


def paths() -> dict[str, Any]:
    """The operations of every endpoint, by path."""
    return {
        "/score": {"post": _score()},
        "/feedback": {"post": _feedback()},
        "/health": {"get": {**_get("health", "Whether it serves.", ref("Health")), "security": []}},
        "/version": {"get": _get("version", "What serves.", ref("Version"))},
        "/metrics": {"get": _text("metrics", "Counters for Prometheus.")},
        "/v1/models": {"get": _get("models", "The deployments that chat.", ref("Models"))},
    }


def ref(name: str) -> dict[str, str]:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A body of JSON."""
    return {"application/json": {"schema": dict(schema)}}


def answers(schema: Mapping[str, Any], *codes: str, **kinds: Any) -> dict[str, Any]:
    """The responses of an operation: 200, and its refusals by status."""
    refused = {code: {"description": _REFUSALS[code], "content": content(ref("Error"))} for code in codes}
    return {"200": {"description": "done", "content": {**content(schema), **kinds}}, **refused}


def _get(name: str, summary: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": answers(schema, "401", "403", "503")}


def _text(name: str, summary: str) -> dict[str, Any]:
    made = _get(name, summary, {})
    made["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return made


def _post(
    name: str, summary: str, schema: str, responses: dict[str, Any], *, required: bool = True
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": required, "content": content(ref(schema))},
        "responses": responses,
    }


_EVENTS = {"text/event-stream": {"schema": {"description": "server-sent events, each with JSON as its data"}}}
_OF_POST = ("400", "401", "403", "408", "413", "415", "429", "503")


def _score() -> dict[str, Any]:
    found = answers(ref("Outputs"), *_OF_POST, "404", "406", "500", "502", "504", **_EVENTS)
    return _post("score", "Run the flow.", "Inputs", found)


def chat(model: str) -> dict[str, Any]:
    """The operation of a chat flow.

    Args:
        model: what an OpenAI client calls it.
    """
    found = answers(ref("Completion"), *_OF_POST, "404", "500", "502", "504", **_EVENTS)
    made = _post("chat", f"Chat as with OpenAI; the model is {model!r}.", "Chat", found)
    return {**made, "x-model": model}


def _feedback() -> dict[str, Any]:
    found = answers(ref("FeedbackReceived"), *_OF_POST)
    return _post("feedback", "Say how good an earlier answer was.", "Feedback", found)


def fields(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


_STRING = {"type": "string"}
_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"type": "string", "enum": ["text"]}, "text": _STRING},
}
_MESSAGE = fields(
    ["role", "content"],
    role={"type": "string", "enum": ["system", "developer", "user", "assistant"]},
    content={"oneOf": [_STRING, {"type": "array", "items": _PART}]},
)
SHAPES: dict[str, Any] = {
    "Error": _ERROR,
    "Health": fields(["status", "version"], status=_STRING, version=_STRING),
    "Version": fields(["status", "version"], status=_STRING, version=_STRING, build_info=_STRING),
    "Models": fields(["data"], object=_STRING, data={"type": "array", "items": {"type": "object"}}),
    "Chat": fields(
        ["messages"],
        model={"type": "string", "nullable": True},
        messages={"type": "array", "minItems": 1, "items": _MESSAGE},
        stream={"type": "boolean", "nullable": True},
        inputs={"type": "object", "description": "the flow's other inputs", "nullable": True},
    ),
    "Completion": fields(
        ["id", "choices", "usage"],
        id=_STRING,
        choices={"type": "array", "items": {"type": "object"}},
        usage={"type": "object"},
        outputs={"type": "object", "description": "the flow's other outputs"},
    ),
    "Feedback": fields(
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
    "FeedbackReceived": fields(["status"], status=_STRING),
}
