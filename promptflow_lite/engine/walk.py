"""How is a plan carried out? What is ready runs, together where the graph forks, until nothing is left.

A lone ready node is awaited in place, which costs a third of a task; a TaskGroup opens only where the graph
forks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from promptflow_lite.engine.events import Chunk, Emit, NodeEnded, NodeStarted, ignore
from promptflow_lite.engine.invoke import failure_of, invoke
from promptflow_lite.engine.results import Failure, NodeRun, Status
from promptflow_lite.engine.schedule import Plan, Schedule, Step
from promptflow_lite.errors import InputError
from promptflow_lite.tools.scope import NodeScope, Printed, Usage

__all__ = ["Walk"]


class _Stop(Exception):
    """A node failed: cancels its siblings."""


class Walk:
    """One pass over a plan.

    Args:
        plan: what to run.
        schedule: the pass's state.
        emit: is told of each node and each part of a streamed output.
        line_number: of the line, if it is one of many.
        repeat: which of the line's repeats this is.
        stream: whether nodes that feed an output directly shall stream.
        metrics: where `log_metric` writes, in the aggregation phase.
    """

    __slots__ = (
        "_emit",
        "_group",
        "_line_number",
        "_metrics",
        "_plan",
        "_repeat",
        "_stream",
        "error",
        "printed",
        "runs",
        "schedule",
        "usage",
    )

    def __init__(
        self,
        plan: Plan,
        schedule: Schedule,
        *,
        emit: Emit = ignore,
        line_number: int | None = None,
        repeat: int = 0,
        stream: bool = False,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        self._plan = plan
        self.schedule = schedule
        self._emit = None if emit is ignore else emit
        self._line_number = line_number
        self._repeat = repeat
        self._stream = stream
        self._metrics = metrics
        self._group: asyncio.TaskGroup | None = None
        self.runs: dict[str, NodeRun] = {}
        """What came of each node, in the order in which they began."""
        self.error: Failure | None = None
        """Of the node that failed first."""
        self.usage = Usage()
        self.printed = Printed()

    async def run(self) -> None:
        """Run the plan to its end, or to the first failure, which cancels what still runs.

        Raises:
            asyncio.CancelledError: from outside.
        """
        try:
            ready = self._advance()
            while len(ready) == 1 and self.error is None:
                ready = await self._step(ready[0])
            if ready and self.error is None:
                async with asyncio.TaskGroup() as self._group:
                    self._spawn(self._group, ready)
        except* _Stop:
            pass
        finally:
            if len(self.runs) < len(self._plan.steps):
                self._cancel_the_rest()

    async def _follow(self, step: Step, group: asyncio.TaskGroup) -> None:
        """The step, and then what it makes ready: the first in place, others beside it."""
        while True:
            ready = await self._step(step)
            if self.error is not None:
                raise _Stop
            if not ready:
                return
            step = ready[0]
            self._spawn(group, ready[1:])

    def _spawn(self, group: asyncio.TaskGroup, steps: list[Step]) -> None:
        for step in steps:
            group.create_task(self._follow(step, group), name=step.name)

    async def _step(self, step: Step) -> list[Step]:
        """What became ready when `step` was done."""
        name = step.name
        emit = self._emit
        run = self.runs[name] = NodeRun(name, Status.Running, started=time())
        if emit is not None:
            emit(NodeStarted(name, self._line_number))
        try:
            arguments = self.schedule.arguments(step)
        except InputError as error:
            run.status, run.error = Status.Failed, failure_of(error, name)
        else:
            run.inputs = arguments if step.shown is None else {**arguments, **step.shown}
            scope = NodeScope(
                name,
                self._line_number,
                self._repeat,
                self._stream and bool(step.outputs),
                Usage(),
                self._metrics,
                None,
                self.printed,
            )
            try:
                tell = None if emit is None else _teller(step, emit)
                await invoke(run, step.bound, arguments, scope, tell)
            finally:
                if run.usage is not None:
                    self.usage.add(run.usage)
                if run.status is Status.Canceled and emit is not None:
                    emit(NodeEnded(run, self._line_number))
        if emit is not None:
            emit(NodeEnded(run, self._line_number))
        if run.status is Status.Failed:
            self.error = self.error or run.error
            return []
        self.schedule.complete(step, run.output)
        return self._advance() if step.dependents else []

    def _advance(self) -> list[Step]:
        ready, bypassed = self.schedule.advance()
        for step in bypassed:
            self._note(NodeRun(step.name, Status.Bypassed, started=time()))
        return ready

    def _cancel_the_rest(self) -> None:
        for step in self._plan.steps:
            if step.name not in self.runs:
                self._note(NodeRun(step.name, Status.Canceled))

    def _note(self, run: NodeRun) -> None:
        self.runs[run.node] = run
        if self._emit is not None:
            self._emit(NodeEnded(run, self._line_number))


def _teller(step: Step, emit: Emit) -> Callable[[str], None] | None:
    """Who is told each part of the step's output, if it is one of the flow's."""
    if not step.outputs:
        return None
    return lambda text: emit(Chunk(step.name, step.outputs, text))
