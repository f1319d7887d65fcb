"""What do the keys of a flow file make? Plain data to models, with every complaint about them at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from promptflow_lite.errors import Diagnostic, near_miss
from promptflow_lite.flow.environment import is_forbidden, text_of
from promptflow_lite.flow.kinds import ANY, FLAG, INPUT, LIST, MAPPING, TEXT, TEXTS, Kind, one_of
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import Document, KeyPath
from promptflow_lite.flow.spec import (
    Activate,
    Flow,
    FlowInput,
    FlowOutput,
    Node,
    NodeType,
    Source,
    Variant,
    Variants,
)
from promptflow_lite.flow.types import ValueType, is_type_name

__all__ = ["Complaints", "flow_of", "node_of"]

_NODE_TYPES = tuple(name for name in get_args(NodeType) if name not in ("flex", "prompty"))
_REFUSED_NODE_TYPES = {"csharp": "C#", "action": "action"}


_SCALAR = Kind("a string", lambda value: isinstance(value, str | int | float) and not isinstance(value, bool))
_SECONDS = Kind(
    "a positive number of seconds",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf,
)
_CONNECTION = Kind("a connection's name", lambda value: isinstance(value, str | dict))

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
_NODE = {
    "name": TEXT,
    "type": TEXT,
    "source": MAPPING,
    "inputs": MAPPING,
    "connection": _CONNECTION,
    "api": TEXT,
    "provider": TEXT,
    "module": TEXT,
    "activate": MAPPING,
    "aggregation": FLAG,
    "reduce": FLAG,
    "use_variants": FLAG,
    "timeout": _SECONDS,
    "comment": ANY,
    "enable_cache": ANY,
    "skip": ANY,
}
_SOURCE = {
    "type": one_of("code", "package", "package_with_prompt"),
    "path": TEXT,
    "tool": TEXT,
}
_ACTIVATE = {"when": ANY, "is": ANY}
_VARIANTS = {"default_variant_id": _SCALAR, "variants": MAPPING}
_VARIANT = {"node": MAPPING, "description": TEXT}


class Complaints:
    """What is wrong with a document, collected."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.found: list[Diagnostic] = []

    def add(self, code: str, message: str, path: KeyPath, hint: str | None = None) -> None:
        """Complain about what stands under `path`."""
        self.found.append(Diagnostic(code, message, self._document.at(*path), hint))

    def fields(self, data: Any, kinds: Mapping[str, Kind], path: KeyPath, noun: str) -> dict[str, Any]:
        """The known keys of `data` that hold what they may; a key that holds nothing is left out."""
        if data is None:
            return {}
        if not isinstance(data, dict):
            self.add("wrong-type", f"{noun} is a mapping, got {_shown(data)}", path)
            return {}
        kept: dict[str, Any] = {}
        for key, value in data.items():
            kind = kinds.get(key) if isinstance(key, str) else None
            if kind is None:
                hint: str | None = near_miss(str(key), kinds) or f"{noun} has the keys {', '.join(kinds)}"
                self.add("unknown-key", f"{noun} has no key {str(key)!r}", (*path, key), hint)
            elif value is not None and kind.accepts(value):
                kept[key] = value
            elif value is not None:
                hint = near_miss(str(value), kind.choices)
                self.add("wrong-type", f"expected {kind.words}, got {_shown(value)}", (*path, key), hint)
        return kept

    def entries(self, data: Mapping[Any, Any], path: KeyPath) -> dict[str, tuple[Any, KeyPath]]:
        """The entries of a mapping from names to bodies, each with its path."""
        return {str(key): (value, (*path, key)) for key, value in data.items()}

    def missing(self, key: str, noun: str, path: KeyPath) -> None:
        """Complain that a key is not there."""
        self.add("missing-key", f"{noun} needs the key {key!r}", path)

    def reference(self, value: Any, path: KeyPath) -> Any:
        """`value`, as a `Ref` if it is written as one."""
        if not Ref.is_reference(value):
            return value
        try:
            return Ref.in_flow(value)
        except ValueError as error:
            self.add("bad-reference", str(error), path)
            return value


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
    for key, read in (("inputs", _input_of), ("outputs", _output_of), ("node_variants", _variants_of)):
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


def node_of(
    data: Any, name: str, path: KeyPath, complaints: Complaints, *, fallback_type: str | None = None
) -> Node | None:
    """The node that `data` describes, or `None` after a complaint that leaves nothing to go on.

    Args:
        data: the keys of a node, as they stand in the file.
        name: its name.
        path: where the keys stand.
        complaints: what is wrong goes there.
        fallback_type: the type where `data` has none: that of the default variant.
    """
    fields = complaints.fields(data, _NODE, path, "a node")
    kind = fields.get("type", fallback_type)
    if kind in _REFUSED_NODE_TYPES:
        complaints.add(
            "not-supported", f"{_REFUSED_NODE_TYPES[kind]} nodes are not supported", (*path, "type")
        )
        return None
    if kind is None:
        complaints.add(
            "node-without-type", f"node {name!r} has no type", path, f"one of {', '.join(_NODE_TYPES)}"
        )
        return None
    if kind not in _NODE_TYPES:
        hint = near_miss(kind, _NODE_TYPES)
        complaints.add(
            "wrong-type", f"expected one of {', '.join(_NODE_TYPES)}, got {kind!r}", (*path, "type"), hint
        )
        return None
    inputs = complaints.entries(fields.get("inputs", {}), (*path, "inputs"))
    plain = {
        key: fields[key] for key in ("connection", "api", "provider", "module", "timeout") if fields.get(key)
    }
    return Node(
        name=name,
        type=kind,
        source=_source_of(fields.get("source"), (*path, "source"), complaints),
        inputs={key: complaints.reference(value, where) for key, (value, where) in inputs.items()},
        activate=_activate_of(fields.get("activate"), (*path, "activate"), complaints),
        aggregation=fields.get("aggregation", False) or fields.get("reduce", False),
        use_variants=fields.get("use_variants", False),
        comment=str(fields["comment"]) if "comment" in fields else None,
        **plain,
    )


def _listed_node(
    body: Any, index: int, variants: Mapping[str, Variants], complaints: Complaints
) -> Node | None:
    path = ("nodes", index)
    if not isinstance(body, dict):
        complaints.add("wrong-type", f"a node is a mapping, got {_shown(body)}", path)
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


def _source_of(data: Any, path: KeyPath, complaints: Complaints) -> Source | None:
    return None if data is None else Source(**complaints.fields(data, _SOURCE, path, "a source"))


def _activate_of(data: Any, path: KeyPath, complaints: Complaints) -> Activate | None:
    if data is None:
        return None
    complaints.fields(data, _ACTIVATE, path, "activate")
    absent = [key for key in _ACTIVATE if key not in data]
    for key in absent:
        complaints.missing(key, "activate", path)
    if absent:
        return None
    return Activate(when=complaints.reference(data["when"], (*path, "when")), is_=data["is"])


def _variants_of(data: Any, path: KeyPath, complaints: Complaints) -> Variants:
    fields = complaints.fields(data, _VARIANTS, path, "the variants of a node")
    for key in _VARIANTS:
        if key not in fields and (not isinstance(data, dict) or data.get(key) is None):
            complaints.missing(key, "the variants of a node", path)
    variants = {
        name: _variant_of(body, where, complaints)
        for name, (body, where) in complaints.entries(fields.get("variants", {}), (*path, "variants")).items()
    }
    return Variants(str(fields.get("default_variant_id", "")), variants)


def _variant_of(data: Any, path: KeyPath, complaints: Complaints) -> Variant:
    fields = complaints.fields(data, _VARIANT, path, "a variant")
    if "node" not in fields:
        complaints.missing("node", "a variant", path)
        return Variant({}, fields.get("description"))
    node_of(fields["node"], str(path[1]), (*path, "node"), complaints)
    return Variant(fields["node"], fields.get("description"))


def _environment(data: Mapping[Any, Any], complaints: Complaints) -> dict[str, str]:
    path = ("environment_variables",)
    entries = complaints.entries(data, path)
    for name, (_, where) in entries.items():
        if is_forbidden(name):
            complaints.add("forbidden-variable", f"a flow may not set {name!r}", where)
    return {name: text_of(value) for name, (value, _) in entries.items()}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
