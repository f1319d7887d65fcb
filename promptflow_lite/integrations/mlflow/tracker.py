"""Who tells MLflow of a run? The tracker, after the run is safe in its own folder.

A server that is away costs the run nothing. Telling twice changes nothing: what was told before is found
again, and what is missing is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from promptflow_lite.integrations.mlflow.reach import reached
from promptflow_lite.integrations.mlflow.told import Told
from promptflow_lite.integrations.mlflow.verdict import tag_verdict
from promptflow_lite.runs.events import RunEmit, ignore
from promptflow_lite.runs.run import Run
from promptflow_lite.settings import settings

__all__ = ["MlflowTracker"]


class MlflowTracker:
    """Tells MLflow of runs: the store of `MLFLOW_TRACKING_URI`, else the base run's, else `./mlflow.db`.

    Args:
        traces: how many lines of a run get a trace at most; `None`: as the settings say.
    """

    def __init__(self, traces: int | None = None) -> None:
        self._traces = settings().traces if traces is None else traces
        self._default = f"sqlite:///{Path.cwd() / 'mlflow.db'}"

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

        Raises:
            ConnectionError: the store cannot be reached, or refused.
        """
        with reached(self._where(base, parent)) as store:
            return Told(store, run, folder, base, parent=parent, traces=self._traces, emit=emit).all()

    def judged(self, run: Run, folder: Path) -> None:
        """Log what a gate said of a run that was told before.

        Raises:
            ConnectionError: the store cannot be reached, or refused.
        """
        with reached(self._where(run)) as store:
            tag_verdict(store, run.tracking["mlflow_run_id"], folder)

    def labelled(self, run: Run, folder: Path, base: Run | None) -> int:
        """Log what people said of the lines of a judge's run that was told before; how much that is.

        Raises:
            ConnectionError: the store cannot be reached, or refused.
        """
        with reached(self._where(run)) as store:
            told = Told(store, run, folder, base, parent=None, traces=self._traces, emit=ignore)
            return told.labels(run.tracking["mlflow_experiment_id"], run.tracking["mlflow_run_id"])

    def _where(self, *kin: Run | None) -> str:
        """The store that the first of them was told to."""
        before = [one.tracking for one in kin if one is not None]
        where = [told["mlflow_tracking_uri"] for told in before if "mlflow_tracking_uri" in told]
        return where[0] if where else self._default
