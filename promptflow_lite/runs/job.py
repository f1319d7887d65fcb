"""What does whoever executes lines need? FlowJob, Line, and the protocols Executor and Tracker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from promptflow_lite.engine.results import LineResult
from promptflow_lite.runs.records import Key
from promptflow_lite.runs.run import Run

__all__ = ["Executor", "FlowJob", "Line", "Tracker"]


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
    """All that a worker needs to execute lines; JSON, so it can travel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    variant: dict[str, str] = Field(default_factory=dict)
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict)
    environment_variables: dict[str, str] = Field(default_factory=dict)
    line_timeout_s: float = 600.0
    concurrency: int = 16
    folders: tuple[str, ...] = ()
    """Where paths of images in the lines may lead, beside the flow's folder: the data's, the base run's."""


class Executor(Protocol):
    """Executes lines, in any order."""

    def run(self, job: FlowJob, lines: Iterable[Line]) -> AsyncGenerator[LineResult, None]:
        """One result for each line, as it ends.

        `lines` is taken from as room comes free: a run that shall stop ends it early.
        """
        ...


class Tracker(Protocol):
    """Is told of a run after the run is safe in its own folder."""

    def tell(self, run: Run, folder: Path, base: Run | None) -> Mapping[str, str]:
        """Log the run; what comes back is kept in `run.tracking`.

        Raises:
            ConnectionError: the tracking server is away; the run succeeds all the same.
        """
        ...
