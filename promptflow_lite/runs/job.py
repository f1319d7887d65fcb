"""What does whoever executes lines need? FlowJob, Line, and the protocols Executor and Tracker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from promptflow_lite.engine.events import Emit
from promptflow_lite.engine.results import AggregationResult, LineResult
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.registered import Registered
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.records import Key
from promptflow_lite.runs.run import Run
from promptflow_lite.tools.scope import SharedAnswers

__all__ = ["Executor", "FlowJob", "Line", "Tracker", "flow_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of inputs, its number, and which of its repeats this is."""

    number: int
    inputs: Mapping[str, Any]
    repeat: int = 0

    @property
    def key(self) -> Key:
        """What tells it from every other line of the run."""
        return self.number, self.repeat


class FlowJob(BaseModel):
    """All that a worker needs to execute lines; JSON, so it can travel.

    It may hold the values of secret variables: it is sent to workers and never kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    variant: dict[str, str] = Field(default_factory=dict)
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict)
    environment_variables: dict[str, str] = Field(default_factory=dict)
    prompts: dict[str, Registered] = Field(default_factory=dict)
    """The registered prompts of the flow, so that every worker has the same."""
    init: dict[str, Any] = Field(default_factory=dict)
    """What the class of a flex flow is made with."""
    line_timeout_s: float = 600.0
    concurrency: int = 16
    folders: tuple[str, ...] = ()
    """Where paths of images in the lines may lead, beside the flow's folder: the data's, the base run's."""
    folder: str = ""
    """The run's own folder: images that nodes give are kept there."""
    mode: Literal["", "talk", "each"] = ""
    """Whether lines are conversations (`runs.turns`): talks with the flow, or turns that it gets one each."""
    memory_mb: int | None = None
    """What a worker process may take at most (its address space); `None` sets no limit."""
    cache: str | SharedAnswers | None = None
    """The folder where answers of models are kept; empty for nowhere, `None` as the settings say."""
    board: str | None = None
    """A folder that the worker processes of a run share while they live, such as for pacing; `None` where
    there is one process."""


def flow_of(job: FlowJob) -> Flow:
    """The flow that a job speaks of, with its variant and its environment variables.

    Raises:
        UserError: the flow cannot be read, or has no such variant.
    """
    flow = choose_variants(load_flow(job.flow), job.variant).derive(prompts=job.prompts)
    if job.environment_variables:
        variables = {**flow.environment_variables, **job.environment_variables}
        flow = flow.derive(environment_variables=variables)
    return give(flow, job.init)


class Executor(Protocol):
    """Runs the user's code: lines in any order, then the aggregation."""

    @property
    def is_isolated(self) -> bool:
        """Whether that is done in other processes, so that code which kills its process leaves this one."""
        ...

    async def open(self, job: FlowJob) -> Sequence[str]:
        """Get ready; what comes back is for people.

        Raises:
            UserError: what is wrong with the flow, its scripts and its connections.
        """
        ...

    def run(self, lines: Iterable[Line], log: Callable[[str], None]) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends.

        `lines` is taken from as room comes free: a run that shall stop ends it early. `log` takes what
        belongs in the run's log.
        """
        ...

    async def aggregate(self, lines: Sequence[LineResult], emit: Emit = ignore) -> AggregationResult:
        """What came of the aggregation nodes over `lines`."""
        ...

    async def close(self) -> None:
        """Let go of everything; does nothing the second time."""
        ...


class Tracker(Protocol):
    """Is told of a run after the run is safe in its own folder."""

    def tell(
        self,
        run: Run,
        folder: Path,
        base: Run | None,
        emit: RunEmit = ignore,
        *,
        parent: Run | None = None,
    ) -> Mapping[str, str]:
        """Log the run; what comes back is kept in `run.tracking`.

        Args:
            run: the run.
            folder: its folder.
            base: the run that it builds on, with what was told of that.
            emit: told how far it is.
            parent: the sweep that it belongs to, with what was told of that.

        Raises:
            ConnectionError: the tracking server is away; the run succeeds all the same.
        """
        ...
