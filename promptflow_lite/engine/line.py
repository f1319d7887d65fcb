"""What comes of one line? Its inputs in, its outputs and the record of every node out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter, time
from typing import Any

from promptflow_lite.engine.events import Emit, LineEnded, LineStarted, Log, NodeEnded, NodeStarted, ignore
from promptflow_lite.engine.given import arguments_of
from promptflow_lite.engine.invoke import invoke
from promptflow_lite.engine.outputs import outputs_of
from promptflow_lite.engine.results import Failure, LineResult, NodeRun, Status
from promptflow_lite.engine.schedule import Schedule, plan_of
from promptflow_lite.engine.walk import Walk
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.tools.clock import Clock
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.scope import NodeScope, Printed, within
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["run_line", "run_node"]

_ENTERED = nullcontext()


async def run_line(
    bound: BoundFlow,
    inputs: Mapping[str, Any],
    *,
    line_number: int | None = None,
    repeat: int = 0,
    stream: bool = False,
    timeout_s: float | None = None,
    folders: Sequence[Path] = (),
    emit: Emit = ignore,
    is_entered: bool = False,
) -> LineResult:
    """What came of the flow for one line of inputs.

    A failing node makes the result `Failed`; it raises nothing.

    Args:
        bound: the flow.
        inputs: by name; coerced to the declared types, defaults filled in.
        line_number: of the line, if it is one of many.
        repeat: which of the line's repeats this is.
        stream: whether llm nodes that feed an output directly shall stream.
        timeout_s: seconds the line may take; `None` for any time.
        folders: where the paths of images in the inputs may lead, beside the flow's own folder.
        emit: is told what happens.
        is_entered: whether the caller has entered the flow's `Home`, `within` its connections, for all lines
            together.

    Raises:
        InputError: inputs are missing or of the wrong type.
        asyncio.CancelledError: from outside.
    """
    coerced, warnings = coerce_inputs(bound.flow, inputs, folders)
    plan = plan_of(bound, aggregation=False)
    schedule = Schedule(plan, coerced)
    walk = Walk(plan, schedule, emit=emit, line_number=line_number, repeat=repeat, stream=stream)
    started, began = time(), perf_counter()
    if emit is not ignore:
        emit(LineStarted(line_number))
        for warning in warnings:
            emit(Log(warning, "warning"))
    home = _ENTERED if is_entered else Home(bound.folder)
    with home, _ENTERED if is_entered else within(bound.connections):
        try:
            if timeout_s is None:
                await walk.run()
            else:
                with Clock.after(timeout_s, stops=True) as limit:
                    await walk.run()
        except TimeoutError:
            if timeout_s is None or not limit.is_over:
                raise
            walk.error = walk.error or _too_long(timeout_s, walk)
    outputs: dict[str, Any] = {}
    error = walk.error
    if error is None:
        outputs, error = outputs_of(bound, plan, schedule)
    result = LineResult(
        line_number,
        Status.Completed if error is None else Status.Failed,
        coerced,
        outputs,
        walk.runs,
        error,
        started,
        perf_counter() - began,
        walk.usage,
        str(walk.printed),
        repeat,
    )
    if emit is not ignore:
        emit(LineEnded(result))
    return result


async def run_node(bound: BoundFlow, name: str, inputs: Mapping[str, Any], *, emit: Emit = ignore) -> NodeRun:
    """What came of one node, run by itself; its `activate` does not count.

    Args:
        bound: the flow.
        name: of the node.
        inputs: what it reads: by the parameter's name, as `inputs.NAME` or `NODE.output`, or by the flow
            input's name.
        emit: is told what happens.

    Raises:
        InputError: the flow has no such node, or something that it reads is not given.
    """
    node, arguments, shown = arguments_of(bound, name, inputs)
    run = NodeRun(name, Status.Running, shown, started=time())
    scope = NodeScope(name, metrics={} if node.node.aggregation else None, printed=Printed())
    emit(NodeStarted(name, None))
    with Home(bound.folder), within(bound.connections):
        await invoke(run, node, arguments, scope, None)
    run.logs = str(scope.printed)
    emit(NodeEnded(run, None))
    return run


def _too_long(timeout_s: float, walk: Walk) -> Failure:
    cut = [run.node for run in walk.runs.values() if run.status is Status.Canceled and run.started]
    running = f"; running then: {', '.join(map(repr, cut))}" if cut else ""
    return Failure("timeout", f"the line took longer than {timeout_s:g} s{running}", cut[0] if cut else None)
