"""What may stand in the front matter of a .prompty? Its keys, and the parts of a Flow that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.errors import near_miss
from promptflow_lite.flow.complaints import Complaints
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.kinds import ANY, FLAG, INPUT, MAPPING, TEXT, Kind, one_of
from promptflow_lite.flow.parameters import APIS
from promptflow_lite.flow.source import KeyPath
from promptflow_lite.flow.spec import FlowInput, FlowOutput
from promptflow_lite.flow.types import ValueType, is_type_name

__all__ = [
    "MODEL",
    "PROMPTY",
    "configuration_in",
    "environment_in",
    "inputs_in",
    "mapping_in",
    "outputs_in",
    "parameters_in",
]

_MAPPING_OR_FILE = Kind("a mapping, or ${file:...}", lambda value: isinstance(value, dict | str))


PROMPTY = {
    "$schema": ANY,
    "name": TEXT,
    "display_name": TEXT,
    "description": TEXT,
    "authors": ANY,
    "version": ANY,
    "tags": ANY,
    "type": one_of("standard", "chat", "evaluation"),
    "language": TEXT,
    "model": MAPPING,
    "inputs": MAPPING,
    "outputs": MAPPING,
    "sample": _MAPPING_OR_FILE,
    "template": ANY,
    "environment": MAPPING,
    "environment_variables": MAPPING,
}
MODEL = {
    "api": one_of("chat", "completion"),
    "configuration": Kind("a mapping, or ${file:...}", lambda value: not isinstance(value, str | int | list)),
    "parameters": _MAPPING_OR_FILE,
    "response": one_of("first", "all"),
}
_CONFIGURATION = {
    "type": one_of("azure_openai", "azure_open_ai", "openai", "open_ai", "serverless", "local"),
    "name": ANY,
    "connection": ANY,
    "azure_deployment": TEXT,
    "azure_endpoint": TEXT,
    "api_base": TEXT,
    "api_key": TEXT,
    "api_version": ANY,
    "api_type": TEXT,
    "auth_mode": TEXT,
    "model": TEXT,
    "base_url": TEXT,
    "organization": TEXT,
    "timeout": ANY,
    "requests_per_minute": ANY,
    "tokens_per_minute": ANY,
}
_NO_ENDPOINT = frozenset({"type", "name", "connection", "model", "azure_deployment"})
_INPUT = {**INPUT, "is_required": FLAG, "sample": ANY}
_OUTPUT = {"type": TEXT, "description": TEXT, "is_chat_output": FLAG}
_OF_THE_CLIENT = frozenset({"stream", "n", "extra_headers", "extra_body", "extra_query", "timeout"})
"""What a prompty may say beside the parameters that an llm node has."""


def mapping_in(value: Any, path: KeyPath, complaints: Complaints) -> dict[str, Any]:
    """A mapping with names for keys; a complaint and none where it is another thing."""
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    if not any(
        complaint.mark and complaint.mark.key == ".".join(map(str, path)) for complaint in complaints.found
    ):
        complaints.add("wrong-type", f"expected a mapping, got {value!r:.60}", path)
    return {}


def configuration_in(value: Any, complaints: Complaints) -> Any:
    """`model.configuration`, checked where it is a mapping."""
    path: KeyPath = ("model", "configuration")
    if not isinstance(value, dict):
        return value
    fields = complaints.fields(value, _CONFIGURATION, path, "a configuration")
    both = [key for key in fields if key not in _NO_ENDPOINT]
    if fields.get("connection") and both:
        message = f"a connection and {both[0]!r} exclude each other: the connection says where the model is"
        complaints.add("connection-and-keys", message, (*path, both[0]))
    return fields


def parameters_in(value: Any, api: str, complaints: Complaints) -> dict[str, Any]:
    """`model.parameters` that are set; a slip in a name is told."""
    path: KeyPath = ("model", "parameters")
    found = mapping_in(value, path, complaints)
    known = APIS.get(api, frozenset()) | _OF_THE_CLIENT
    for name in found:
        hint = near_miss(name, known) if name not in known else None
        if hint is not None:  # an endpoint may take more than OpenAI's do: only a slip is told
            complaints.add("unknown-parameter", f"the call has no parameter {name!r}", (*path, name), hint)
    return {name: item for name, item in found.items() if item is not None}


def inputs_in(
    data: Mapping[Any, Any], sample: Mapping[str, Any], complaints: Complaints
) -> dict[str, FlowInput]:
    """`inputs`; those of the sample where none are declared."""
    if not data:  # Prompt flow: the sample says what the inputs are
        return {name: FlowInput(_type_of(value)) for name, value in sample.items()}
    found: dict[str, FlowInput] = {}
    for name, (body, path) in complaints.entries(data, ("inputs",)).items():
        if not isinstance(body, dict):
            complaints.add(
                "wrong-type", f"an input is a mapping, as in {{type: string}}, got {body!r:.60}", path
            )
            continue
        fields = complaints.fields(body, _INPUT, path, "an input")
        fields.pop("is_required", None)
        fields.pop("sample", None)
        kind = fields.get("type") or _type_of(body.get("default", sample.get(name)))
        if not is_type_name(kind):
            types = [t.value for t in ValueType]
            complaints.add("wrong-type", f"expected one of {', '.join(types)}, got {kind!r}", (*path, "type"),
                           near_miss(kind, types))  # fmt: skip
        has_none = "default" in body and body["default"] is None
        found[name] = FlowInput(**{**fields, "type": kind, "optional": has_none})
    return found


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case list():
            return "list"
    return "object"


def outputs_in(data: Mapping[Any, Any], complaints: Complaints) -> dict[str, FlowOutput]:
    """`outputs`: the keys that are taken of an answer in JSON."""
    found: dict[str, FlowOutput] = {}
    for name, (body, path) in complaints.entries(data, ("outputs",)).items():
        fields = complaints.fields(body, _OUTPUT, path, "an output")
        found[name] = FlowOutput(**{"type": "string", **fields})
    return found


def environment_in(data: Mapping[Any, Any], complaints: Complaints) -> dict[str, str]:
    """`environment_variables`, as text."""
    path: KeyPath = ("environment_variables",)
    for name, (_, where) in complaints.entries(data, path).items():
        if is_forbidden(name):
            complaints.add("forbidden-variable", f"a flow may not set {name!r}", where)
    return {str(name): text_of(value) for name, value in data.items()}
