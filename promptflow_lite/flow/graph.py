"""What depends on what? A flow's nodes as a graph: their order, their circles, their edges."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.values import to_plain

if TYPE_CHECKING:
    from networkx import DiGraph

__all__ = ["Edge", "cycles", "digraph", "edges", "order", "to_json"]


@dataclass(frozen=True)
class Edge:
    """Something that is read."""

    source: str | None
    """A node; `None` for the flow's inputs."""
    target: str | None
    """A node; `None` for the flow's outputs."""
    label: str = ""
    """The condition, where `source` decides whether `target` runs."""


def order(flow: Flow) -> list[str]:
    """The names of the nodes, each after those it reads; where the file leaves a choice, in its order.

    References to nodes that do not exist are passed over: `flow.check` complains about them.

    Raises:
        FlowError: the nodes wait for each other (`cycle`).
    """
    names = [node.name for node in flow.nodes]
    place = {name: index for index, name in enumerate(names)}
    sorter = _sorter(flow, set(names))
    try:
        sorter.prepare()
    except CycleError:
        raise FlowError(cycles(flow)) from None
    ordered: list[str] = []
    waiting = [place[name] for name in sorter.get_ready()]
    heapq.heapify(waiting)
    while waiting:
        name = names[heapq.heappop(waiting)]
        ordered.append(name)
        sorter.done(name)
        for ready in sorter.get_ready():
            heapq.heappush(waiting, place[ready])
    return ordered


def cycles(flow: Flow) -> list[Diagnostic]:
    """A complaint for each circle of nodes that wait for each other; no node is in two of them."""
    found: list[Diagnostic] = []
    left = {node.name for node in flow.nodes}
    while True:
        try:
            _sorter(flow, left).prepare()
        except CycleError as error:
            circle = list(dict.fromkeys(reversed(error.args[1])))
            found.append(_complaint(flow, circle))
            left -= set(circle)
        else:
            return found


def edges(flow: Flow) -> list[Edge]:
    """Who reads whom, each pair once, in the order of the file."""
    names = {node.name for node in flow.nodes}
    found: dict[tuple[str | None, str | None], Edge] = {}
    for target, ref, label in _reads(flow):
        if ref.scope == "inputs" or ref.name in names:
            source = None if ref.scope == "inputs" else ref.name
            known = found.get((source, target))
            found[source, target] = Edge(source, target, label or (known.label if known else ""))
    return list(found.values())


def digraph(flow: Flow) -> DiGraph[str]:
    """The nodes and who reads whom, for what networkx can tell of a graph."""
    from networkx import DiGraph  # noqa: PLC0415  # heavy: first use

    graph: DiGraph[str] = DiGraph()
    graph.add_nodes_from(node.name for node in flow.nodes)
    graph.add_edges_from((edge.source, edge.target) for edge in edges(flow) if edge.source and edge.target)
    return graph


def to_json(flow: Flow) -> dict[str, Any]:
    """The graph as plain data: inputs, nodes in the order they can run, outputs, edges."""
    return {
        "name": flow.name,
        "inputs": {name: to_plain({"type": i.type, "default": i.default}) for name, i in flow.inputs.items()},
        "nodes": [_node_json(flow.node(name)) for name in order(flow)],
        "outputs": {name: _text(output.reference) for name, output in flow.outputs.items()},
        "edges": [
            {"from": edge.source or "inputs", "to": edge.target or "outputs", "condition": edge.label or None}
            for edge in edges(flow)
        ],
    }


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "type": node.type,
        "source": (node.source.path or node.source.tool) if node.source is not None else None,
        "inputs": {name: _text(value) for name, value in node.inputs.items()},
        "aggregation": node.aggregation,
    }


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Ref) else to_plain(value)


def _reads(flow: Flow) -> list[tuple[str | None, Ref, str]]:
    """Reader, what it reads, and the condition that hangs on it."""
    found: list[tuple[str | None, Ref, str]] = []
    for node in flow.nodes:
        found += [(node.name, ref, "") for ref in node.refs().values()]
        if node.activate is not None and isinstance(node.activate.when, Ref):
            found.append(
                (node.name, node.activate.when, f"{str(node.activate.when)[2:-1]} is {node.activate.is_!r}")
            )
    found += [(None, o.reference, "") for o in flow.outputs.values() if isinstance(o.reference, Ref)]
    return found


def _sorter(flow: Flow, among: set[str]) -> TopologicalSorter[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for node in flow.nodes:
        if node.name in among:
            sorter.add(node.name, *(source for source in node.sources() if source in among))
    return sorter


def _complaint(flow: Flow, circle: list[str]) -> Diagnostic:
    """The circle told from its first node of the file on, each reading the next."""
    names = [node.name for node in flow.nodes]
    start = min(range(len(circle)), key=lambda i: names.index(circle[i]))
    told = circle[start:] + circle[:start]
    reading = " reads ".join(repr(name) for name in [*told, told[0]])
    return Diagnostic(
        "cycle", f"nodes wait for each other: {reading}", flow.at("nodes", names.index(told[0]))
    )
