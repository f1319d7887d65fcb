"""What came of a run? Its lines and metrics, as plain data or pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.runs import family
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.store import JOURNAL

__all__ = ["FinishedRun", "flat", "frame"]


class FinishedRun:
    """A run that has ended, and what came of each line.

    Args:
        kept: the run as it is in the store.
        folder: where it is kept.
    """

    def __init__(self, kept: Run, folder: Path) -> None:
        self.kept = kept
        self.folder = folder

    def __repr__(self) -> str:
        lines = self.lines
        return f"<run {self.name!r}: {self.status}, {lines.completed} of {lines.total} lines completed>"

    @property
    def name(self) -> str:
        """The run's name; `pf run show --name NAME` shows it."""
        return self.kept.name

    @property
    def status(self) -> Status:
        """How it ended; a run is Completed though some lines failed."""
        return self.kept.status

    @property
    def lines(self) -> LineCounts:
        """How many lines there were, and how they ended."""
        return self.kept.lines

    @property
    def metrics(self) -> dict[str, Any]:
        """What the aggregation nodes logged."""
        return self.kept.metrics

    @property
    def runs(self) -> list[FinishedRun]:
        """The runs of a sweep, in the order of its combinations; none of a plain run."""
        store = run_store()
        return [FinishedRun(run, store.folder(run.name)) for run in family.members(self.kept, store)]

    @property
    def choice(self) -> dict[str, Any]:
        """Which of its sweep's combinations the run is."""
        return self.kept.choice

    @property
    def details(self) -> list[dict[str, Any]]:
        """One mapping a line, in order: `line_number`, `status`, `inputs`, `outputs`, `error`.

        Of a run with `repeats` also `repeat`; of a sweep those of its runs, with `run`.
        """
        if self.kept.children:
            return [{"run": run.name, **detail} for run in self.runs for detail in run.details]
        records = Records.read(self.folder / JOURNAL)
        which = ("line_number", "repeat") if records.are_repeated else ("line_number",)
        keys = (*which, "status", "inputs", "outputs", "error")
        return [{key: record.get(key) for key in keys} for record in records.each()]

    def to_pandas(self) -> Any:
        """The details as a pandas `DataFrame`, by line number: `inputs.*`, `outputs.*`, status and error."""
        return frame([flat(detail) for detail in self.details])


def flat(detail: Mapping[str, Any]) -> dict[str, Any]:
    """A line's details with `inputs.*` and `outputs.*` as columns; the error as its message."""
    error = detail["error"]
    return {
        **{key: detail[key] for key in ("run", "line_number", "repeat") if key in detail},
        **{f"inputs.{name}": value for name, value in (detail["inputs"] or {}).items()},
        **{f"outputs.{name}": value for name, value in (detail["outputs"] or {}).items()},
        "status": detail["status"],
        "error": error["message"] if error else None,
    }


def frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a pandas `DataFrame`, indexed by `line_number`."""
    import pandas  # noqa: PLC0415  (heavy: first use)

    return pandas.DataFrame(rows).set_index("line_number") if rows else pandas.DataFrame()
