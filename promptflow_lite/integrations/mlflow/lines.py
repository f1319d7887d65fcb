"""How does a line of a run look as a trace?

The identity of a trace follows from the run, the line and when the line began, so that whoever tells it again
makes the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from promptflow_lite.engine.results import Status
from promptflow_lite.engine.turns import turn_of
from promptflow_lite.integrations.mlflow.spans import Ids, Teller, spans_of, usage_of
from promptflow_lite.runs.records import dumps, key_of, key_text
from promptflow_lite.runs.run import Run

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo

__all__ = ["CREATED_TAG", "LINE_TAG", "RUN_TAG", "Shared", "Trace", "trace_of"]

RUN_TAG = "promptflow_lite.run"
CREATED_TAG = "promptflow_lite.run.created"
LINE_TAG = "promptflow_lite.line"
"""Tags of a trace: which run's, when that was made, which line (`7`, or `7/2` for a repeat)."""

_LONGEST = 250
"""Characters of a session's name."""


class Trace(NamedTuple):
    """A line, ready to be told."""

    info: TraceInfo
    spans: list[Span]


@dataclass(frozen=True)
class Shared:
    """What the traces of a run have in common."""

    run: Run
    teller: Teller
    experiment: str
    source_run: str | None
    """The MLflow run in which they happened; `None` for what a scorer did, which is no line of a run."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def identity(self, record: Mapping[str, Any]) -> int:
        """The 128 bits of a line's trace."""
        told = (self.run.name, self.run.created, key_text(key_of(record)), record["started"])
        return int.from_bytes(hashlib.sha256(dumps(told)).digest()[:16], "big")

    def row(self, record: Mapping[str, Any]) -> str | None:
        """What a line of these data is told by in every run over them; `None` where it has no data file."""
        data = self.run.fingerprint.get("data")
        return None if data is None else hashlib.sha256(dumps((data, key_of(record)))).hexdigest()[:32]


def trace_of(record: Mapping[str, Any], shared: Shared) -> Trace:
    """The trace of a line's record."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    teller = shared.teller
    number = shared.identity(record)
    row = shared.row(record)
    line = key_text(key_of(record))
    tags = {
        "mlflow.traceName": teller.name,
        RUN_TAG: shared.run.name,
        CREATED_TAG: str(shared.run.created),
        LINE_TAG: line,
        **({"mlflow.eval.requestId": row} if row is not None and shared.source_run is not None else {}),
        **shared.tags,
    }
    info = TraceInfo(
        trace_id=f"tr-{number:032x}",
        trace_location=TraceLocation.from_experiment_id(shared.experiment),
        request_time=round(record["started"] * 1e9) // 1_000_000,
        execution_duration=round(record["seconds"] * 1000),
        state=TraceState.OK if record["status"] == Status.Completed else TraceState.ERROR,
        request_preview=teller.request(record["inputs"]),
        response_preview=teller.response(record["outputs"]),
        trace_metadata=_metadata(record, shared, line),
        tags=tags,
    )
    root = {
        "promptflow_lite.run": shared.run.name,
        "promptflow_lite.line_number": record["line_number"],
        "promptflow_lite.repeat": record.get("repeat", 0) or None,
        "promptflow_lite.variant": shared.run.variant,
        "promptflow_lite.logs": record["logs"] or None,
    }
    return Trace(info, spans_of(record, root, Ids(number), teller))


def _metadata(record: Mapping[str, Any], shared: Shared, line: str) -> dict[str, str]:
    found: dict[str, str | None] = {
        "mlflow.trace_schema.version": "3",
        "mlflow.sourceRun": shared.source_run,
        # A conversation is one line: MLflow's page of sessions has it under this name.
        "mlflow.trace.session": f"{shared.run.name}/{line}"[-_LONGEST:] if _is_talk(record) else None,
    }
    usage = usage_of(record["usage"])
    cost = record["usage"].get("cost")
    if usage:
        found["mlflow.trace.tokenUsage"] = shared.teller.text(usage)
    if cost is not None:
        found["mlflow.trace.cost"] = shared.teller.text({"total_cost": cost})
    return {key: text for key, text in found.items() if text is not None}


def _is_talk(record: Mapping[str, Any]) -> bool:
    return any(turn_of(key)[1] is not None for key in record["node_runs"])
