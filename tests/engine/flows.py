"""Flows made in Python for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Activate, Flow, FlowInput, FlowOutput, Node
from promptflow_lite.tools.signature import of_signature
from promptflow_lite.tools.tool import BoundFlow, BoundNode


def node(
    name: str,
    function: Callable[..., Any],
    *,
    timeout: float | None = None,
    aggregation: bool = False,
    activate: tuple[str, Any] | None = None,
    **inputs: Any,
) -> BoundNode:
    """A node that calls `function`; inputs written as in a flow file."""
    values = {key: Ref.in_flow(v) if Ref.is_reference(v) else v for key, v in inputs.items()}
    refs = {key: v for key, v in values.items() if isinstance(v, Ref)}
    constants = {key: v for key, v in values.items() if key not in refs}
    when = Activate(Ref.in_flow(activate[0]), activate[1]) if activate else None
    spec = Node(name, "python", inputs=values, activate=when, aggregation=aggregation, timeout=timeout)
    return BoundNode(spec, of_signature(function), constants, refs)


def flow(
    *nodes: BoundNode, inputs: Mapping[str, FlowInput] | None = None, outputs: Mapping[str, Any] | None = None
) -> BoundFlow:
    """A bound flow of these nodes, in this order; outputs written as in a flow file."""
    made = {
        name: FlowOutput(reference=Ref.in_flow(value) if Ref.is_reference(value) else value)
        for name, value in (outputs or {}).items()
    }
    spec = Flow("made", inputs=dict(inputs or {}), outputs=made, nodes=tuple(b.node for b in nodes))
    return BoundFlow(spec, {b.node.name: b for b in nodes}, spec.folder)
