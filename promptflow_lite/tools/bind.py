"""What does each node of a flow call? A Flow and its connections become a BoundFlow.

The only place that touches user code before a line runs. All complaints of a flow come in one FlowError.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import Diagnostic, FlowError, UserError, near_miss
from promptflow_lite.flow.check import check
from promptflow_lite.flow.graph import order
from promptflow_lite.flow.includes import materialize
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.tools import environment
from promptflow_lite.tools.literals import literals
from promptflow_lite.tools.registered import fetched, with_defaults
from promptflow_lite.tools.scope import within
from promptflow_lite.tools.tool import BoundFlow, BoundNode, Made, Tool

__all__ = ["bind", "close", "warm"]

Closer = Callable[[], Any]
Warmer = Callable[[], Awaitable[object]]

_MAKERS = {
    "llm": "llm",
    "prompt": "prompt",
    "python": "python",
    "retrieval": "search",
    "tool": "package",
    "flex": "flex",
    "prompty": "prompty",
}
"""The module whose `make` knows a type of node; imported when a flow has such a node."""


class _Make(Protocol):
    def __call__(self, node: Node, flow: Flow, connections: ConnectionProvider) -> Made: ...


def bind(
    flow: Flow,
    connections: ConnectionProvider,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    only: str | None = None,
) -> BoundFlow:
    """The flow with a callable in every node: ready to run.

    Imports the user's scripts. Variants are chosen before (`flow.variants`). The flow's environment variables
    hold until `close`.

    Args:
        flow: what to run.
        connections: where the connections that it names are found.
        overrides: for a node, its connection or inputs to use instead of those in the file.
        only: the one node that shall get a callable; what the others call need not be here.

    Raises:
        FlowError: everything that is wrong with the flow, its scripts, its literals and its connections.
    """
    flow = _overridden(flow, overrides or {})
    closers: list[Closer] = []
    warmers: list[Warmer] = []
    try:
        flow, left_out = with_defaults(fetched(flow))
        flow = materialize(flow, closers.append)
        _raise_errors(check(flow, connections.names() if only is None else None))
        values, complaints = environment.values_of(flow, connections)
        _raise_errors(complaints)
        closers.append(environment.apply(values))
        if any(node.type == "flex" for node in flow.nodes):
            flow = importlib.import_module("promptflow_lite.tools.flex").opened(
                flow, connections, closers.append
            )
        bound, notes = _bound_nodes(flow, connections, closers, warmers, only)
    except BaseException:
        _close_now(closers)
        raise
    nodes = {name: bound[name] for name in order(flow) if name in bound}
    kept = tuple(reversed(closers))
    return BoundFlow(
        flow,
        nodes,
        flow.folder,
        notes=(*left_out, *notes),
        closers=kept,
        warmers=tuple(warmers),
        connections=connections,
    )


async def warm(bound: BoundFlow) -> list[str]:
    """Read now what the first line would wait for; what could not be read, for people."""
    with within(bound.connections):
        found = await asyncio.gather(*(warmer() for warmer in bound.warmers), return_exceptions=True)
    return [str(error) or type(error).__name__ for error in found if isinstance(error, Exception)]


async def close(bound: BoundFlow) -> None:
    """Let go of what the flow holds: servers it started, modules, environment variables, copied files."""
    for closer in bound.closers:
        result = closer()
        if inspect.isawaitable(result):
            await result


def _bound_nodes(
    flow: Flow,
    connections: ConnectionProvider,
    closers: list[Closer],
    warmers: list[Warmer],
    only: str | None,
) -> tuple[dict[str, BoundNode], tuple[str, ...]]:
    bound: dict[str, BoundNode] = {}
    notes: list[str] = []
    complaints: list[Diagnostic] = []
    for where, node in enumerate(flow.nodes):
        if only not in (None, node.name):
            continue
        try:
            made = _maker_of(node)(node, flow, connections)
        except FlowError as error:
            complaints += error.diagnostics
            continue
        except UserError as error:
            complaints.append(
                Diagnostic(error.code, error.message, flow.at("nodes", where, "source"), error.hint)
            )
            continue
        closers += made.closers
        warmers += made.warmers
        notes += made.notes
        constants, wrong = literals(
            node.inputs, made.tool.params, flow=flow, where=where, connections=connections
        )
        complaints += wrong
        complaints += _mismatches(node, made.tool, flow, where)
        bound[node.name] = BoundNode(node, made.tool, constants, node.refs())
    _raise_errors(dict.fromkeys(complaints))
    return bound, tuple(dict.fromkeys(notes))


def _maker_of(node: Node) -> _Make:
    is_package = node.type == "custom_llm" or (
        node.type == "python" and node.source is not None and node.source.type == "package"
    )
    name = "package" if is_package else _MAKERS[node.type]
    return cast(_Make, importlib.import_module(f"promptflow_lite.tools.{name}").make)


def _mismatches(node: Node, tool: Tool, flow: Flow, where: int) -> Iterable[Diagnostic]:
    """Inputs that the tool does not take, and parameters that nothing is given to."""
    given = {
        name
        for name, value in node.inputs.items()
        if isinstance(value, Ref) or (value is not None and value != "")
    }
    for name in node.inputs:
        if name not in tool.params and not tool.accepts_extra and name in given:
            message = f"the tool {tool.name!r} of node {node.name!r} has no parameter {name!r}"
            hint = near_miss(name, tool.params) or f"it takes: {', '.join(tool.params) or 'nothing'}"
            yield Diagnostic("unknown-parameter", message, flow.at("nodes", where, "inputs", name), hint)
    for name, param in tool.params.items():
        if param.required and name not in given:
            message = (
                f"the tool {tool.name!r} of node {node.name!r} needs {name!r}, which is not among its inputs"
            )
            why = "null and empty text count as not given" if name in node.inputs else None
            yield Diagnostic("missing-argument", message, flow.at("nodes", where, "inputs"), why)


def _overridden(flow: Flow, overrides: Mapping[str, Mapping[str, Any]]) -> Flow:
    if not overrides:
        return flow
    known = [node.name for node in flow.nodes]
    unknown = [name for name in overrides if name not in known]
    if unknown:
        _raise_errors(
            Diagnostic(
                "unknown-node", f"cannot override node {name!r}: there is none", hint=near_miss(name, known)
            )
            for name in unknown
        )
    return flow.derive(
        nodes=tuple(
            _with(node, overrides[node.name]) if node.name in overrides else node for node in flow.nodes
        )
    )


def _with(node: Node, changes: Mapping[str, Any]) -> Node:
    """The node with other inputs; `connection` is a key of llm and retrieval nodes, and else an input."""
    inputs = dict(node.inputs)
    update: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "connection" and node.type in ("llm", "retrieval"):
            update["connection"] = value
        else:
            inputs[name] = Ref.in_flow(value) if Ref.is_reference(value) else value
    return node.derive(**update, inputs=inputs)


def _raise_errors(diagnostics: Iterable[Diagnostic]) -> None:
    errors = [d for d in diagnostics if d.severity == "error"]
    if errors:
        raise FlowError(errors)


def _close_now(closers: list[Closer]) -> None:
    for closer in reversed(closers):
        result = closer()
        if inspect.iscoroutine(result):
            result.close()  # bind is sync; a client that was never used has nothing to wait for
