"""What do the keys of a node make? A Node, or the Variants of one, with every complaint about them."""

from __future__ import annotations

import math
from typing import Any, get_args

from promptflow_lite.errors import near_miss
from promptflow_lite.flow.complaints import Complaints
from promptflow_lite.flow.kinds import ANY, FLAG, MAPPING, TEXT, Kind, one_of
from promptflow_lite.flow.source import KeyPath
from promptflow_lite.flow.spec import Activate, Node, NodeType, Source, Variant, Variants

__all__ = ["node_of", "variants_of"]

_NODE_TYPES = tuple(name for name in get_args(NodeType) if name not in ("flex", "prompty"))
_REFUSED_NODE_TYPES = {"csharp": "C#", "action": "action"}

_SCALAR = Kind("a string", lambda value: isinstance(value, str | int | float) and not isinstance(value, bool))
_SECONDS = Kind(
    "a positive number of seconds",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf,
)
_CONNECTION = Kind("a connection's name", lambda value: isinstance(value, str | dict))

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


def variants_of(data: Any, path: KeyPath, complaints: Complaints) -> Variants:
    """The variants of a node, as `node_variants` names them."""
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
