"""Connections that tests bind with, and hypothesis strategies for flows."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import ConnectionNotFound
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Activate, Flow, FlowInput, Node
from promptflow_lite.tools.tool import BoundFlow, BoundNode, Param, Tool


class Connections:
    """A provider over a mapping."""

    def __init__(self, known: Mapping[str, Connection]) -> None:
        self._known = known

    def get(self, name: str) -> Connection:
        if name not in self._known:
            raise ConnectionNotFound(name, self._known)
        return self._known[name]

    def names(self) -> list[str]:
        return sorted(self._known)


class NoConnections(Connections):
    """A provider that has none."""

    def __init__(self) -> None:
        super().__init__({})


@st.composite
def bound_graphs(draw: st.DrawFn) -> BoundFlow:
    """A flow of up to eight nodes that count: any acyclic wiring, some with `activate`, some that fail."""
    size = draw(st.integers(1, 8))
    nodes: dict[str, BoundNode] = {}
    for index in range(size):
        earlier = [f"n{i}" for i in range(index)]
        sources = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        optional = draw(st.booleans())
        nodes[f"n{index}"] = _node(f"n{index}", sources, draw(_activates(earlier)), optional=optional)
    flow = Flow(
        "graph", inputs={"go": FlowInput("bool")}, nodes=tuple(bound.node for bound in nodes.values())
    )
    return BoundFlow(flow, nodes, flow.folder)


@st.composite
def _activates(draw: st.DrawFn, earlier: list[str]) -> Activate | None:
    kind = draw(st.sampled_from(["none", "none", "input", "node"]))
    if kind == "input":
        return Activate(Ref("inputs", "go"), draw(st.booleans()))
    if kind == "node" and earlier:
        return Activate(Ref("node", draw(st.sampled_from(earlier))), draw(st.integers(1, 3)))
    return None


def _node(name: str, sources: list[str], activate: Activate | None, *, optional: bool) -> BoundNode:
    refs = {source: Ref("node", source) for source in sources}
    params = {source: Param(source, required=not optional) for source in sources}
    node = Node(name, "python", inputs=dict(refs), activate=activate)
    return BoundNode(node, Tool(name, _count, params, mode="async"), {}, refs)


async def _count(**values: int | None) -> int:
    return 1 + sum(value or 0 for value in values.values())
