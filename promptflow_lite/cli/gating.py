"""Where does a gate's verdict stay? In the folder of each run it judged, and with whoever tracks that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptflow_lite.cli.console import say
from promptflow_lite.evaluation import gate as gates
from promptflow_lite.evaluation.gate import Result
from promptflow_lite.registry import Registry
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import GATE, RunStore, write_json
from promptflow_lite.settings import settings

__all__ = ["keep"]


def keep(store: RunStore, baseline: str, results: Sequence[Result]) -> None:
    """Keep what came of a gate's rules with every run that they were held against."""
    tracker: Any = None
    for name in dict.fromkeys(result.run for result in results):
        of_run = [result for result in results if result.run == name]
        write_json(store.folder(name) / GATE, _record(baseline, of_run), store.disk)
        run = store.load(name)
        if run.tracking and settings().tracking:
            tracker = tracker or Registry("trackers").get("mlflow")()
            _tell(tracker, run, store)


def _tell(tracker: Any, run: Run, store: RunStore) -> None:
    try:
        tracker.judged(run, store.folder(run.name))
    except ConnectionError as error:
        say(f"warning: {error}\n  tell it of the verdict later with  pf run sync {run.name}")


def _record(baseline: str, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "outcome": gates.verdict(results).value,
        "baseline": baseline,
        "rules": [
            {"rule": str(result.rule), "outcome": result.outcome.value, "why": result.why}
            for result in results
        ],
    }
