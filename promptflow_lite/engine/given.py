"""What is one node called with when it runs by itself? Values given by hand, under any name they go by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.images import load, load_image
from promptflow_lite.flow.refs import Ref, follow
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.flow.types import coerce, with_images
from promptflow_lite.tools.tool import BoundFlow, BoundNode

__all__ = ["arguments_of"]

_MISSING: Any = object()


def arguments_of(
    bound: BoundFlow, name: str, given: Mapping[str, Any]
) -> tuple[BoundNode, dict[str, Any], dict[str, Any]]:
    """The node, what its tool is called with, and the same as a record may show it.

    A value may be given by the parameter's name, as `inputs.NAME` or `NODE.output`, or by the name of the
    flow input or node that it stands for. Flow inputs have the flow's types and defaults; text for a node's
    output is read as JSON where it is some.

    Raises:
        InputError: the flow has no such node, or something that it reads is not given; all of it at once.
    """
    node = bound.nodes.get(name)
    if node is None:
        raise InputError(
            f"the flow has no node {name!r}", code="unknown-node", hint=near_miss(name, bound.nodes)
        )
    arguments = dict(node.constants)
    missing: list[str] = []
    wrong: list[str] = []
    for parameter in node.constants.keys() & given.keys():
        if not isinstance(arguments[parameter], Connection):
            arguments[parameter] = given[parameter]
    for parameter, ref in node.refs.items():
        try:
            value = _with_images(_value(bound, node, parameter, ref, given), bound, node, parameter)
        except ValueError as error:
            wrong.append(f"{parameter}: {error}")
            continue
        if value is not _MISSING:
            arguments[parameter] = value
        elif parameter not in node.tool.params or node.tool.params[parameter].required:
            missing.append(f"{parameter} ({str(ref)[2:-1]})")
    if missing or wrong:
        said = [*wrong, *([f"not given: {', '.join(missing)}"] if missing else [])]
        raise InputError(
            f"node {name!r}: {'; '.join(said)}", code="missing-input" if missing else "wrong-type"
        )
    shown = {key: value.name if isinstance(value, Connection) else value for key, value in arguments.items()}
    return node, arguments, shown


def _value(bound: BoundFlow, node: BoundNode, parameter: str, ref: Ref, given: Mapping[str, Any]) -> Any:
    """What the parameter gets: the whole value followed to the part it reads, or the part itself."""
    text = str(ref)[2:-1]
    if ref.scope == "inputs":
        spec = bound.flow.inputs.get(ref.name)
        for key in (text, str(ref), parameter, ref.name):
            if key in given:
                return (
                    given[key] if spec is None or node.node.aggregation else _input(bound, spec, given[key])
                )
        return _MISSING if spec is None or spec.default is None else _input(bound, spec, spec.default)
    for key in (parameter, text, str(ref)):
        if key in given:
            return _typed(given[key], node, parameter)
    for key in (f"{ref.name}.output", f"${{{ref.name}.output}}", ref.name):
        if key in given:
            return follow(_read(given[key]), ref)
    return _MISSING


def _with_images(value: Any, bound: BoundFlow, node: BoundNode, parameter: str) -> Any:
    """A value with the images that it means: those of a record, or given by hand."""
    param = node.tool.params.get(parameter)
    if value is not _MISSING and param is not None and param.type == "image" and not node.node.aggregation:
        return load_image(value, bound.flow.message_format, [bound.folder])
    return load(value, bound.flow.message_format, [bound.folder])


def _input(bound: BoundFlow, spec: FlowInput, value: Any) -> Any:
    return with_images(bound.flow, coerce(value, spec.type), spec.type)


def _typed(value: Any, node: BoundNode, parameter: str) -> Any:
    param = node.tool.params.get(parameter)
    if not isinstance(value, str) or param is None or param.connections:
        return value
    return _read(value) if param.type == "object" else coerce(value, param.type)


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
