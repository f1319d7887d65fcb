"""What was asked of a run, and what came of it? The model behind `run.json` and Prompt flow's `run.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from promptflow_lite.engine.results import Status

__all__ = ["LineCounts", "Run"]


class LineCounts(BaseModel):
    """How many lines there are and how they ended."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    """Lines with nothing to run: the base line failed, the record is bad, or it lacks a mapped column."""


class Run(BaseModel):
    """A batch: flow, data, column mapping, the run it builds on, and what came of it. JSON in `run.json`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    flow: str
    """The flow's folder or file (absolute), or an evaluator's name."""
    data: str | None = None
    """The data file (absolute)."""
    run: str | None = None
    """The run this one builds on."""
    column_mapping: dict[str, Any] | None = None
    variant: str | None = None
    """`${node.variant}`, as it was asked for; of several nodes with spaces between."""
    matrix: dict[str, list[Any]] = Field(default_factory=dict)
    """Of a sweep: what is varied, and its values. Keys are those of `runs.matrix`."""
    children: list[str] = Field(default_factory=list)
    """Of a sweep: the names of its runs, in the order of the combinations."""
    parent: str | None = None
    """The sweep this run belongs to."""
    choice: dict[str, Any] = Field(default_factory=dict)
    """Which of the sweep's combinations it is."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Which version of a prompt each `prompts:/name@alias` in the flow was when the run was made."""
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Node name to overrides: `connection`, `deployment_name`, `model`."""
    environment_variables: dict[str, str] = Field(default_factory=dict)
    """A value whose name is a secret's is kept as `***`."""
    init: dict[str, Any] = Field(default_factory=dict)
    """What the class of a flex flow is made with; a text whose key is a secret's is kept as `***`."""

    @field_validator("init", mode="before")
    @classmethod
    def _plain(cls, values: Any) -> Any:
        """Model configurations as mappings."""
        if not isinstance(values, Mapping):
            return values
        return {name: asdict(value) if is_dataclass(value) else value for name, value in values.items()}  # type: ignore[arg-type]

    limit: int | None = Field(default=None, ge=1)
    """How many rows at most, from the first on."""
    sample: float | None = Field(default=None, gt=0)
    """How many rows are drawn at random; below 1, which part of them."""
    shuffle_seed: int | None = None
    """Start the lines in the random order of this seed; a sample is drawn with it (0 without one)."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """How often each row is run."""
    skip_bad_lines: bool = False
    """Leave bad records of the data out, instead of refusing it."""
    concurrency: int = Field(default=16, ge=1)
    """Lines in flight."""
    executor: str | None = None
    """Who executes lines: a plugin's name such as `ray`, or a Ray cluster's address; `None`: this machine."""
    line_timeout_s: float = Field(default=600.0, gt=0)
    workers: int | None = Field(default=None, ge=1)
    """Processes that run the user's code; `None`: the run's own."""
    worker_memory_mb: int | None = Field(default=None, ge=1)
    """What each of them may take at most."""
    batch_timeout_s: float | None = Field(default=None, gt=0)
    """How long the lines may take in all; those that are missing then are left to `pf run resume`."""
    cache: bool | None = None
    """Keep the answers of models, and ask for none that is kept; `None`: as the settings say."""
    max_cost: float | None = Field(default=None, gt=0)
    """US dollars after which no more lines are taken."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The same for tokens, prompt and completion together."""
    error_threshold: int | None = Field(default=None, ge=-1)
    """Azure ML's: stop when more lines than this have failed; -1: never mind failed lines."""
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, Any] = Field(default_factory=dict)
    archived: bool = False
    """Put away: lists leave it out unless they are asked for it."""

    @field_validator("sample")
    @classmethod
    def _is_number_or_part(cls, sample: float | None) -> float | None:
        if sample is not None and sample >= 1 and sample != int(sample):
            raise ValueError("expected a whole number of rows, or a part of them below 1")
        return sample

    status: Status = Status.NotStarted
    created: float = 0.0
    """Seconds since the epoch."""
    started: float = 0.0
    """When it was started last."""
    ended: float | None = None
    seconds: float = 0.0
    """How long it was executed, every resumption counted."""
    lines: LineCounts = Field(default_factory=LineCounts)
    failures: dict[str, int] = Field(default_factory=dict)
    """Failed lines by code, the commonest first."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    usage: dict[str, int] = Field(default_factory=dict)
    cost: float | None = None
    """US dollars, of the models whose price is known."""
    prices: list[str] = Field(default_factory=list)
    """Where those prices come from."""
    fingerprint: dict[str, str] = Field(default_factory=dict)
    """SHA-256 by part: `flow`, `data`, `mapping`, `variant`."""
    error: dict[str, Any] | None = None
    pid: int | None = None
    """The process that executes the run, while it is Running."""
    tracked: bool = True
    """Whether a tracker is told once it is Completed; `--no-tracking` holds when it is resumed, too."""
    traced: bool = True
    """Whether it is told a trace for each line."""
    tracking: dict[str, str] = Field(default_factory=dict)
    """What a tracker gave back: `mlflow_run_id`, `mlflow_tracking_uri`, ..."""
