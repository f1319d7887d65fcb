"""What comes of the aggregation nodes? They run once, after all lines, on lists over the completed ones.

Prompt flow: flow-language 1.8. A failed line is not in the lists, a bypassed source is `None`, literals stay
as they are, and one aggregation node reads another's output as it is. Metrics logged before a failure are
kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.invoke import failure_of
from promptflow_lite.engine.results import AggregationResult, LineResult, Status
from promptflow_lite.engine.schedule import Schedule, plan_of
from promptflow_lite.engine.walk import Walk
from promptflow_lite.errors import InputError
from promptflow_lite.flow.images import load
from promptflow_lite.flow.refs import Ref, follow
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.scope import within
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["aggregate"]


async def aggregate(
    bound: BoundFlow, lines: Sequence[LineResult], *, emit: Emit = ignore
) -> AggregationResult:
    """What came of the flow's aggregation nodes over `lines`.

    Args:
        bound: the flow.
        lines: all lines of the run, in any order; the lists are in line-number order, completed lines only.
        emit: is told what happens.

    Raises:
        asyncio.CancelledError: from outside.
    """
    plan = plan_of(bound, aggregation=True)
    metrics: dict[str, Any] = {}
    if not plan.steps:
        return AggregationResult(metrics)
    completed = [line for line in lines if line.status is Status.Completed]
    if all(line.line_number is not None for line in completed):
        completed.sort(key=lambda line: (line.line_number or 0, line.repeat))
    try:
        given = {ref: [_of_line(line, ref) for line in completed] for ref in plan.given}
        given = {
            ref: load(values, bound.flow.message_format, [bound.folder]) for ref, values in given.items()
        }
    except InputError as error:
        return AggregationResult(metrics, error=failure_of(error, None))
    except ValueError as error:
        return AggregationResult(metrics, error=failure_of(InputError(str(error), code="wrong-input"), None))
    walk = Walk(plan, Schedule(plan, given), emit=emit, metrics=metrics)
    with Home(bound.folder), within(bound.connections):
        await walk.run()
    return AggregationResult(metrics, walk.runs, walk.error, str(walk.printed))


def _of_line(line: LineResult, ref: Ref) -> Any:
    if ref.scope == "inputs":
        return line.inputs.get(ref.name)
    run = line.node_runs.get(ref.name)
    if run is None or run.status is not Status.Completed:
        return None
    return follow(run.output, ref)
