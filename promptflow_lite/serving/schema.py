"""What does the endpoint take and give? The flow's own OpenAPI 3.0 document, with types and an example."""

from __future__ import annotations

from typing import Any

from promptflow_lite.flow.conversation import roles_of
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.serving import operations
from promptflow_lite.serving.example import IMAGE, example_of
from promptflow_lite.values import to_plain

__all__ = ["document_of", "tool_schemas"]

_TYPES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "double": {"type": "number"},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "list": {"type": "array", "items": {}},
    "object": {"title": "object"},  # or whatever else is JSON: Prompt flow refuses nothing here
    "image": {
        "type": "object",
        "description": "an image's bytes as base64 text; data:image/jpeg;base64 and other types are taken "
        "too, and data:image/png;url with an address, which the model fetches",
        "required": ["data:image/png;base64"],
        "properties": {"data:image/png;base64": {"type": "string", "format": "byte", "minLength": 4}},
        "additionalProperties": False,
        "example": IMAGE,
    },
}
_TURN = {"$ref": "#/components/schemas/Turn"}


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
    found = operations.paths()
    if roles_of(flow) is not None:
        found["/v1/chat/completions"] = {"post": operations.chat(model)}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": flow.display_name or title,
            "version": version,
            **({"description": flow.description} if flow.description else {}),
        },
        "servers": [{"url": "/"}],
        **secured,
        **_extensions(flow),
        "paths": found,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
            "schemas": {
                "Inputs": _inputs(flow),
                "Outputs": _outputs(flow, outputs),
                "Turn": _turn(flow),
                **operations.SHAPES,
            },
        },
    }


def tool_schemas(flow: Flow, outputs: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the flow takes and gives as JSON Schema, for whoever calls it as a tool.

    Args:
        flow: whose.
        outputs: the outputs that callers see.
    """
    inputs = _inputs(flow)
    inputs["examples"] = [inputs.pop("example")]
    for spec in inputs["properties"].values():
        if spec.get("items") == _TURN:
            spec["items"] = _turn(flow)
        if "example" in spec:
            spec["examples"] = [spec.pop("example")]
        spec.pop("title", None)
    found = _outputs(flow, outputs)
    properties = {name: {"description": spec["description"]} for name, spec in found["properties"].items()}
    return inputs, {"type": "object", "properties": properties}


def _extensions(flow: Flow) -> dict[str, Any]:
    """What OpenAPI has no word for: the form of images, and which input and output are a chat's."""
    roles = roles_of(flow)
    if roles is None:
        return {"x-images": flow.message_format}
    chat = {
        "input": roles.question,
        "output": roles.answer,
        "history": roles.history,
        "turns": "messages" if roles.as_messages else "inputs-and-outputs",
    }
    return {"x-images": flow.message_format, "x-chat": chat}


def _inputs(flow: Flow) -> dict[str, Any]:
    roles = roles_of(flow)
    history = roles.history if roles is not None else None
    may_lack = history if flow.chat_input is not None else None  # as `flow.types` has it
    required = [n for n, spec in flow.inputs.items() if spec.default is None and n != may_lack]
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
    roles = roles_of(flow)
    if roles is None:
        return operations.fields()
    if roles.as_messages:
        return operations.fields(None, role={"type": "string"}, content={})
    inputs = operations.fields([roles.question], **{roles.question: {}})
    outputs = operations.fields([roles.answer], **{roles.answer: {}})
    return operations.fields(["inputs", "outputs"], inputs=inputs, outputs=outputs)


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
        made["x-enum"] = to_plain(spec.enum)  # Prompt flow does not hold callers to it
    if spec.default is not None:
        made["default"] = to_plain(spec.default)
    return made
