"""`PFClient().runs`: make runs, find them, read what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.api import runs as running
from promptflow_lite.api.finished import FinishedRun
from promptflow_lite.compat.run import Run
from promptflow_lite.compat.sdk_constants import ListViewType
from promptflow_lite.compat.sdk_errors import InvalidRunStatusError, raising
from promptflow_lite.engine.results import Status
from promptflow_lite.evaluation.report import write_report
from promptflow_lite.runs import family
from promptflow_lite.runs.edit import edit
from promptflow_lite.runs.home import run_store
from promptflow_lite.runs.store import RunStore

__all__ = ["RunOperations"]

FAILED = "(Failed)"
"""What a table of Prompt flow shows for the outputs of a line that failed."""


class RunOperations:
    """The runs of this process's home."""

    def create_or_update(self, run: Run, **how: Any) -> Run:
        """Execute a run that was asked for, to its end; `stream=True` prints how it went.

        Raises:
            UserErrorException: what is asked for is wrong; nothing was run.
        """
        if run.flow is None and run.resume_from is None:
            raise InvalidRunStatusError(f"the run {run.name!r} names no flow")
        with raising():
            asked = self._asked(run)
            finished = running.run(
                asked["flow"],
                asked["data"],
                column_mapping=asked["column_mapping"],
                run=run.run.name if isinstance(run.run, Run) else run.run,
                variant=asked["variant"],
                matrix=run.matrix,
                connections=asked["connections"],
                environment_variables=run.environment_variables,
                name=run.name,
                display_name=run.display_name,
                description=run.description,
                tags=run.tags,
                properties=run.properties,
                init=asked["init"],
                resume_from=run.resume_from,
            )
        run.take(finished.kept, finished.folder)
        if how.get("stream"):
            self.stream(run, raise_on_error=how.get("raise_on_error", True))
        return run

    def _asked(self, run: Run) -> dict[str, Any]:
        """What the run says, or the run that it resumes from."""
        said = run
        if run.resume_from is not None and run.flow is None:
            said = self.get(run.resume_from)
        keys = ("flow", "data", "column_mapping", "variant", "connections", "init")
        return {key: getattr(said, key) for key in keys}

    def get(self, name: str | Run) -> Run:
        """The run of that name.

        Raises:
            RunNotFoundError: there is none.
        """
        with raising():
            store = self._store()
            return Run.of(store.load(str(name)), store.folder(str(name)))

    def list(
        self, max_results: int | None = 50, *, list_view_type: ListViewType = ListViewType.ACTIVE_ONLY
    ) -> list[Run]:
        """The runs, the newest first."""
        store = self._store()
        kept = [run for run in store.all()[0] if list_view_type.shows(archived=run.archived)]
        return [Run.of(run, store.folder(run.name)) for run in kept[:max_results]]

    def stream(self, name: str | Run, raise_on_error: bool = True) -> Run:
        """Print the log and the summary of a run.

        Raises:
            InvalidRunStatusError: it failed, and `raise_on_error` is set.
        """
        run = self.get(name)
        log = (run.output_path or Path()) / "log.txt"
        if log.is_file():
            print(log.read_text(encoding="utf-8", errors="replace"), end="")
        counts = run.properties["system_metrics"]
        print("======= Run Summary =======\n")
        print(f'Run name: "{run.name}"\nRun status: "{run.status}"')
        print(f"Lines: {counts['__pf__.lines.completed']} completed, {counts['__pf__.lines.failed']} failed")
        print(f'Duration: "{counts["duration"]:.1f} s"\nOutput path: "{run.output_path}"\n')
        if raise_on_error and run.status in (Status.Failed, Status.Canceled):
            raise InvalidRunStatusError(f"the run {run.name!r} is {run.status}")
        return run

    def archive(self, name: str | Run) -> Run:
        """Put a run away: `list` leaves it out."""
        return self._edited(name, archived=True)

    def restore(self, name: str | Run) -> Run:
        """Take a run back that was put away."""
        return self._edited(name, archived=False)

    def update(
        self,
        name: str | Run,
        display_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        **others: Any,
    ) -> Run:
        """Change what people read of a run; `others` is taken for Prompt flow's sake."""
        return self._edited(name, display_name=display_name, description=description, tags=tags)

    def delete(self, name: str | Run) -> None:
        """Remove a run and its results."""
        with raising():
            family.delete(str(name), self._store())

    def get_metrics(self, name: str | Run) -> dict[str, Any]:
        """What the aggregation nodes logged."""
        return self.get(name).metrics

    def get_details(self, name: str | Run, max_results: int = 100, all_results: bool = False) -> Any:
        """The lines as a pandas `DataFrame`: `inputs.*`, `inputs.line_number`, `outputs.*`.

        A line that failed has `(Failed)` for its outputs, as Prompt flow has it.
        """
        with raising():
            store = self._store()
            details = FinishedRun(store.load(str(name)), store.folder(str(name))).details
        import pandas  # noqa: PLC0415  # heavy: first use

        rows = details if all_results else details[:max_results]
        inputs = dict.fromkeys(key for row in rows for key in row["inputs"] or {})
        outputs = dict.fromkeys(key for row in details for key in row["outputs"] or {})
        columns: dict[str, list[Any]] = {
            **{f"inputs.{key}": [(row["inputs"] or {}).get(key) for row in rows] for key in inputs},
            "inputs.line_number": [row["line_number"] for row in rows],
            **{f"outputs.{key}": [_output(row, key) for row in rows] for key in outputs},
        }
        return pandas.DataFrame(columns)

    def visualize(self, runs: str | Run | Sequence[str | Run], **how: Any) -> Path:
        """Write one HTML page about runs; where it is. `html_path=` says where it shall be."""
        named = [runs] if isinstance(runs, str | Run) else list(runs)
        names = [part.strip() for run in named for part in str(run).split(",")]
        with raising():
            path = write_report(self._store(), names, how.get("html_path"))
        print(f"the report is {path}")
        return path

    def _edited(self, name: str | Run, **changes: Any) -> Run:
        with raising():
            edit(self._store(), str(name), **changes)
        return self.get(name)

    @staticmethod
    def _store() -> RunStore:
        return run_store()


def _output(row: Mapping[str, Any], key: str) -> Any:
    return FAILED if row["status"] == Status.Failed else (row["outputs"] or {}).get(key)
