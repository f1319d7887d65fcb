"""What do the keys of a flow file make? Plain data to a Flow, with every complaint about them at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import Diagnostic, near_miss
from promptflow_lite.flow.complaints import Complaints, shown
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.kinds import ANY, FLAG, INPUT, LIST, MAPPING, TEXT, TEXTS, one_of
from promptflow_lite.flow.node import node_of, variants_of
from promptflow_lite.flow.source import Document, KeyPath
from promptflow_lite.flow.spec import Flow, FlowInput, FlowOutput, Node, Variants
from promptflow_lite.flow.types import ValueType, is_type_name

__all__ = ["flow_of"]

_FLOW = {
    "$schema": ANY,
    "id": ANY,
    "version": ANY,
    "tools": ANY,
    "name": TEXT,
    "display_name": TEXT,
    "description": TEXT,
    "type": one_of("standard", "chat", "evaluation"),
    "language": TEXT,
    "inputs": MAPPING,
    "outputs": MAPPING,
    "nodes": LIST,
    "node_variants": MAPPING,
    "environment": MAPPING,
    "environment_variables": MAPPING,
    "additional_includes": TEXTS,
    "message_format": one_of("basic", "openai-vision"),
    "tags": MAPPING,
}
_OUTPUT = {
    "type": TEXT,
    "reference": ANY,
    "description": TEXT,
    "is_chat_output": FLAG,
    "evaluation_only": FLAG,
}


def flow_of(document: Document, folder: Path, default_name: str) -> tuple[Flow, list[Diagnostic]]:
    """The flow that a document describes, as far as it can be read, and what is wrong with it."""
    complaints = Complaints(document)
    data = complaints.fields(document.data, _FLOW, (), "a flow")
    _check_language(data, complaints)
    if "nodes" not in data and isinstance(document.data, dict) and document.data.get("nodes") is None:
        complaints.missing("nodes", "a flow", ())
    fields: dict[str, Any] = {
        key: data[key]
        for key in ("display_name", "description", "type", "environment", "message_format", "tags")
        if key in data
    }
    fields["name"] = data.get("name") or default_name
    for key, read in (("inputs", _input_of), ("outputs", _output_of), ("node_variants", variants_of)):
        entries = complaints.entries(data.get(key, {}), (key,))
        fields[key] = {name: read(body, path, complaints) for name, (body, path) in entries.items()}
    fields["environment_variables"] = _environment(data.get("environment_variables", {}), complaints)
    fields["additional_includes"] = tuple(data.get("additional_includes", ()))
    nodes = [
        _listed_node(body, index, fields["node_variants"], complaints)
        for index, body in enumerate(data.get("nodes", []))
    ]
    fields["nodes"] = tuple(node for node in nodes if node is not None)
    return Flow.of(fields, document=document, folder=folder), complaints.found


def _listed_node(
    body: Any, index: int, variants: Mapping[str, Variants], complaints: Complaints
) -> Node | None:
    path = ("nodes", index)
    if not isinstance(body, dict):
        complaints.add("wrong-type", f"a node is a mapping, got {shown(body)}", path)
        return None
    name = body.get("name")
    if name is None:
        complaints.missing("name", "a node", path)
    if not isinstance(name, str):
        name = f"nodes[{index}]"
    fallback = _default_type(variants.get(name)) if body.get("use_variants") is True else None
    return node_of(body, name, path, complaints, fallback_type=fallback)


def _default_type(variants: Variants | None) -> str | None:
    if variants is None or variants.default_variant_id not in variants.variants:
        return None
    kind = variants.variants[variants.default_variant_id].node.get("type")
    return kind if isinstance(kind, str) else None


def _check_language(data: Mapping[str, Any], complaints: Complaints) -> None:
    language = data.get("language") or "python"
    if language != "python":
        complaints.add(
            "not-supported", f"flows in {language!r} are not supported, only in Python", ("language",)
        )


def _input_of(data: Any, path: KeyPath, complaints: Complaints) -> FlowInput:
    fields = complaints.fields(data, INPUT, path, "an input")
    if "type" not in fields:
        if not isinstance(data, dict) or data.get("type") is None:
            complaints.missing("type", "an input", path)
        return FlowInput(**{**fields, "type": "object"})
    kind = fields["type"]
    if not is_type_name(kind):
        types = [t.value for t in ValueType]
        hint = _TYPE_HINTS.get(kind) or near_miss(kind, types)
        complaints.add(
            "wrong-type", f"expected one of {', '.join(types)}, got {kind!r}", (*path, "type"), hint
        )
    return FlowInput(**fields)


_TYPE_HINTS = {
    other: f"did you mean {ours!r}?"
    for other, ours in (("str", "string"), ("float", "double"), ("number", "double"), ("boolean", "bool"),
                        ("integer", "int"), ("dict", "object"), ("array", "list"))
}  # fmt: skip


def _output_of(data: Any, path: KeyPath, complaints: Complaints) -> FlowOutput:
    fields = complaints.fields(data, _OUTPUT, path, "an output")
    if fields.get("reference") == "":
        complaints.add(
            "bad-reference", "the reference is empty", (*path, "reference"), "write ${node.output}"
        )
    if "reference" in fields:
        fields["reference"] = complaints.reference(fields["reference"], (*path, "reference"))
    return FlowOutput(**fields)


def _environment(data: Mapping[Any, Any], complaints: Complaints) -> dict[str, str]:
    path = ("environment_variables",)
    entries = complaints.entries(data, path)
    for name, (_, where) in entries.items():
        if is_forbidden(name):
            complaints.add("forbidden-variable", f"a flow may not set {name!r}", where)
    return {name: text_of(value) for name, (value, _) in entries.items()}
