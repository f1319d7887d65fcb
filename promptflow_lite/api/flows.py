"""How does Python code call a flow? `load_flow` and `test`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.api.loop import wait_for
from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.store import Given, provider
from promptflow_lite.engine.aggregate import aggregate
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.line import run_line, run_node
from promptflow_lite.engine.results import AggregationResult, Failure, LineResult, NodeRun, Status
from promptflow_lite.errors import Diagnostic, FlowError, NodeError
from promptflow_lite.flow import load as reading
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants, parse_choice
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind, close
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["LoadedFlow", "Tested", "load_flow", "test"]

Overrides = Mapping[str, Mapping[str, Any]]


class Tested(NamedTuple):
    """What came of one line, aggregation nodes included."""

    line: LineResult
    aggregation: AggregationResult | None
    """`None` if the flow has no aggregation node or its line failed."""


class LoadedFlow:
    """A flow to call: `flow(question="...")` returns its outputs.

    Its nodes get their tools and connections at the first call, once.

    Args:
        flow: variants chosen, checked.
        connections: node name to overrides such as `{"connection": "my_azure"}`; a connection that was
            made in Python does too.
        warnings: what a check of the flow found that is no error.
        only: the one node that gets its tool and connection, where no other shall run.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        connections: Overrides | None = None,
        warnings: Sequence[Diagnostic] = (),
        only: str | None = None,
    ) -> None:
        self.flow = flow
        self.warnings = tuple(warnings)
        self._overrides = connections or {}
        self._only = only

    def __repr__(self) -> str:
        return f"LoadedFlow({self.flow.name!r}, {', '.join(self.flow.inputs)})"

    @cached_property
    def bound(self) -> BoundFlow:
        """The flow with its tools and connections.

        Raises:
            UserError: a script, a tool or a connection is missing or wrong.
        """
        overrides, made = _by_name(self._overrides)
        known = provider(settings())
        given = Given(made, known) if made else known
        return bind(self.flow, given, overrides=overrides, only=self._only)

    def alone(self, node: str) -> LoadedFlow:
        """The flow to run one node of: what the others need, such as a connection, need not be here."""
        return LoadedFlow(self.flow, connections=self._overrides, warnings=self.warnings, only=node)

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """The flow's outputs.

        Raises:
            InputError: an input is missing or of another type.
            NodeError: a node failed.
        """
        return outputs_of(self.invoke(inputs))

    async def acall(self, **inputs: Any) -> dict[str, Any]:
        """The flow's outputs, on the running loop; raises what a call raises."""
        return outputs_of(await self.ainvoke(inputs))

    def invoke(self, inputs: Mapping[str, Any], *, emit: Emit = ignore) -> LineResult:
        """All that came of one line, failure included."""
        return wait_for(self.ainvoke(inputs, emit=emit))

    async def ainvoke(
        self, inputs: Mapping[str, Any], *, stream: bool = False, emit: Emit = ignore
    ) -> LineResult:
        """All that came of one line, on the running loop.

        Args:
            inputs: by name.
            stream: ask models for their text part by part; the parts are `Chunk` events.
            emit: is told what happens.
        """
        return await run_line(self.bound, inputs or self.flow.sample, stream=stream, emit=emit)

    async def atest(self, inputs: Mapping[str, Any], *, emit: Emit = ignore) -> Tested:
        """One line, then the aggregation nodes over that line."""
        line = await self.ainvoke(inputs, emit=emit)
        nodes = self.bound.flow.nodes
        aggregates = line.status is Status.Completed and any(node.aggregation for node in nodes)
        return Tested(line, await aggregate(self.bound, [line], emit=emit) if aggregates else None)

    async def aclose(self) -> None:
        """Close what the nodes hold open, such as clients. The flow can be called again."""
        bound = self.__dict__.pop("bound", None)
        if bound is not None:
            await close(bound)


def load_flow(
    source: str | Path,
    *,
    variant: str | None = None,
    connections: Overrides | None = None,
    environment_variables: Mapping[str, str] | None = None,
    init: Mapping[str, Any] | None = None,
) -> LoadedFlow:
    """The flow at `source`, ready to be called.

    Args:
        source: a flow's folder, or its file, a .prompty, or `module:function`.
        variant: `${node.variant}`; without it the defaults.
        connections: node name to overrides such as `{"connection": "my_azure"}`.
        environment_variables: set while the flow is in use, over those that it sets itself.
        init: what the class of a flex flow is made with; changes of a prompty's front matter.

    Raises:
        FlowError: the flow's files are wrong; every complaint is in the error.
        InputError: the flow takes no such `init`.
    """
    flow = choose_variants(reading.load_flow(source), dict([parse_choice(variant)]) if variant else {})
    if environment_variables:
        flow = flow.derive(environment_variables={**flow.environment_variables, **environment_variables})
    flow = give(flow, init or {})
    complaints = check(flow)
    if any(complaint.severity == "error" for complaint in complaints):
        raise FlowError([complaint for complaint in complaints if complaint.severity == "error"])
    return LoadedFlow(flow, connections=connections, warnings=complaints)


def test(
    flow: str | Path | LoadedFlow,
    inputs: Mapping[str, Any] | None = None,
    *,
    node: str | None = None,
    variant: str | None = None,
) -> Any:
    """The outputs of a flow for one line, or the output of one node.

    Args:
        flow: a path, or what `load_flow` gave.
        inputs: by name; for a node, by parameter.
        node: run only this node.
        variant: `${node.variant}`, for a path.

    Raises:
        NodeError: a node failed.
    """
    loaded = flow if isinstance(flow, LoadedFlow) else load_flow(flow, variant=variant)
    if node is not None:
        return _output_of(wait_for(_run_alone(loaded.alone(node), node, inputs or {})))
    return outputs_of_test(wait_for(loaded.atest(inputs or {})))


async def _run_alone(loaded: LoadedFlow, node: str, inputs: Mapping[str, Any]) -> NodeRun:
    try:
        return await run_node(loaded.bound, node, inputs)
    finally:
        await loaded.aclose()


def outputs_of_test(tested: Tested) -> dict[str, Any]:
    """The outputs of a line, aggregation nodes done too.

    Raises:
        NodeError: a node failed.
    """
    if tested.aggregation is not None and tested.aggregation.error is not None:
        raise _raised(tested.aggregation.error)
    return outputs_of(tested.line)


def outputs_of(line: LineResult) -> dict[str, Any]:
    """The outputs of a completed line.

    Raises:
        NodeError: the line failed.
    """
    if line.status is not Status.Completed:
        raise _raised(line.error)
    return line.outputs


def _by_name(overrides: Overrides) -> tuple[Overrides, dict[str, Connection]]:
    """The overrides with connections by name, and the connections that were given as they are."""
    made: dict[str, Connection] = {}

    def name_of(value: Any) -> Any:
        if not isinstance(value, Connection):
            return value
        name = value.name or f"{value.TYPE}_{len(made)}"
        made[name] = value
        return name

    named = {
        node: {key: name_of(value) for key, value in changes.items()} for node, changes in overrides.items()
    }
    return named, made


def _output_of(run: NodeRun) -> Any:
    if run.status is Status.Failed:
        raise _raised(run.error)
    return run.output


def _raised(failure: Failure | None) -> NodeError:
    if failure is None:
        return NodeError("the line was canceled", code="canceled")
    where = f"node {failure.node!r}: " if failure.node else ""
    return NodeError(f"{where}{failure.message}", code=failure.code, hint=failure.traceback)
