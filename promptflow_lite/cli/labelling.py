"""Where do people's labels stay? In the folder of the judge's run, and with whoever tracks that run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from promptflow_lite.cli.console import say
from promptflow_lite.evaluation.scores import ScoredRun
from promptflow_lite.registry import Registry
from promptflow_lite.runs.records import key_text
from promptflow_lite.runs.store import LABELS, RunStore, write_json
from promptflow_lite.settings import settings

__all__ = ["keep"]


def keep(
    scored: ScoredRun, score: str, labels: Mapping[Hashable, Mapping[str, Any]], store: RunStore
) -> None:
    """Keep what people said of the lines of a judge's run; tell it where the run was told.

    Args:
        scored: the judge's run.
        score: its output that the labels are about.
        labels: by item, by person.
        store: where the run is.
    """
    run, folder = scored.run, store.folder(scored.run.name)
    lines = {
        key_text(place): dict(labels[key.item]) for key, place in scored.places.items() if key.item in labels
    }
    write_json(folder / LABELS, {"score": score, "lines": lines}, store.disk)
    if not run.tracking or not settings().tracking:
        return
    try:
        told = (
            Registry("trackers")
            .get("mlflow")()
            .labelled(run, folder, store.load(run.run) if run.run else None)
        )
    except ConnectionError as error:
        say(f"warning: {error}\n  tell it of the labels later with  pf run sync {run.name}")
    else:
        say(f"MLflow has {told:,} labels of people, as assessments")
