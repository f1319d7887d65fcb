"""How do rankings score at every cut-off? Curves of a run's searches, from what its evaluation was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.documents import grades_of, names_of
from promptflow_lite.evaluation.metrics.ranking import hit, ndcg, precision, recall
from promptflow_lite.evaluation.scores import ScoredRun
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.store import JOURNAL, RunStore

__all__ = ["curves"]

_CUTS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
_NEEDED = ("documents", "ground_truth", "k")
"""Inputs of an evaluation of rankings, as the shipped one names them."""
_GIVEN = "ndcg"
"""An output that tells it from other evaluations with such inputs."""

Ranking = tuple[list[str], Mapping[str, float], str]
"""What was found, what is right, and the gain of nDCG."""

_METRICS: dict[str, Callable[[Ranking, int], float]] = {
    "hit@k": lambda one, k: hit(one[0], _right(one), k),
    "recall@k": lambda one, k: recall(one[0], _right(one), k),
    "precision@k": lambda one, k: precision(one[0], _right(one), k),
    "ndcg@k": lambda one, k: ndcg(one[0], one[1], k, gain="exp" if one[2] == "exp" else "linear"),
}


def curves(store: RunStore, runs: Sequence[ScoredRun]) -> list[dict[str, Any]]:
    """The mean of each ranking metric at every cut-off up to the evaluation's own.

    Returns:
        `metric` and `runs` (name to `[k, value, value, value]`, by k) each: figures without intervals.
    """
    found: dict[str, dict[str, list[list[float]]]] = {}
    for run in runs:
        for evaluation in run.evaluations:
            rankings, k = _read(store, evaluation)
            for metric, score in _METRICS.items() if rankings else ():
                found.setdefault(metric, {})[run.run.name] = [
                    [cut, *[fmean(score(one, cut) for one in rankings)] * 3] for cut in _CUTS if cut <= k
                ]
    return [{"metric": metric, "runs": by_run} for metric, by_run in found.items()]


def _read(store: RunStore, evaluation: str) -> tuple[list[Ranking], int]:
    """The rankings that have something right, and how far they were looked at."""
    rankings: list[Ranking] = []
    deepest = 0
    for record in Records.read(store.folder(evaluation) / JOURNAL).each(Status.Completed):
        inputs = record["inputs"] or {}
        if _GIVEN not in record["outputs"] or any(name not in inputs for name in _NEEDED):
            return [], 0
        try:
            key = inputs.get("key") or ""
            one = (
                names_of(inputs["documents"], key),
                grades_of(inputs["ground_truth"], key),
                str(inputs.get("gain")),
            )
        except InputError:  # another evaluation, with inputs of its own kind
            return [], 0
        if _right(one) and isinstance(inputs["k"], int):
            rankings.append(one)
            deepest = max(deepest, inputs["k"])
    return rankings, deepest


def _right(one: Ranking) -> set[str]:
    return {name for name, grade in one[1].items() if grade > 0}
