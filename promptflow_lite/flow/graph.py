"""What depends on what? A flow's nodes as a graph: their order, and pictures of them."""

from __future__ import annotations

import heapq
from graphlib import CycleError, TopologicalSorter

from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.spec import Flow

__all__ = ["cycles", "order"]


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
