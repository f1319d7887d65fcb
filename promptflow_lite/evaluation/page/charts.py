"""What can be drawn of runs as a whole? Distributions, confusion matrices, curves over k: plain numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from promptflow_lite.evaluation.metrics.classification import INVALID
from promptflow_lite.evaluation.metrics.usage import PERCENTILES, percentiles
from promptflow_lite.evaluation.scores import SECONDS, ScoredRun
from promptflow_lite.evaluation.statistics import Estimate
from promptflow_lite.runs.run import Run

__all__ = ["curves", "distributions", "latency", "matrices"]

_BINS = 20
_FEW = 12
"""So many steps of a scale are bars of their own, as a judge's grades are."""
_AT_K = re.compile(r"(?P<name>.+?)(?:@|_at_)(?P<k>\d+)(?P<rest>\D*)")


def distributions(runs: Sequence[ScoredRun]) -> list[dict[str, Any]]:
    """How often each score comes, of every metric that is more than yes or no, and not always the same.

    Returns:
        `metric`, `counts` (run to numbers) and `values` (one a count) or `edges` (one more) each.
    """
    metrics = dict.fromkeys(metric for run in runs for metric in run.scores)
    return [found for metric in metrics if (found := _distribution(metric, runs)) is not None]


def _distribution(metric: str, runs: Sequence[ScoredRun]) -> dict[str, Any] | None:
    columns = {run.run.name: np.array(list(run.scores.get(metric, {}).values())) for run in runs}
    every = np.concatenate(list(columns.values())) if columns else np.array([])
    different = np.unique(every)
    if len(different) < 2 or set(different.tolist()) == {0.0, 1.0}:
        return None
    if (scale := _scale(different)) is not None:
        counts = {name: [int(np.isclose(column, v).sum()) for v in scale] for name, column in columns.items()}
        return {"metric": metric, "values": scale.tolist(), "counts": counts}
    edges = np.histogram_bin_edges(every, _BINS)
    return {
        "metric": metric,
        "edges": edges.tolist(),
        "counts": {name: np.histogram(column, edges)[0].tolist() for name, column in columns.items()},
    }


def _scale(values: np.ndarray) -> np.ndarray | None:
    """The steps of the scale that the values are of, those too that nothing has; `None` where there is none.

    Args:
        values: the different ones, ascending.
    """
    step = np.diff(values).min()
    places = (values - values[0]) / step
    if places[-1] >= _FEW or not np.allclose(places, places.round()):
        return None
    return np.asarray(values[0] + step * np.arange(round(float(places[-1])) + 1))


def latency(run: ScoredRun) -> dict[str, float]:
    """The 50th, 90th, 95th and 99th percentile of a line's seconds, where lines completed."""
    seconds = list(run.scores.get(SECONDS, {}).values())
    if not seconds:
        return {}
    return {f"p{p}": value for p, value in zip(PERCENTILES, percentiles(seconds), strict=True)}


def matrices(run: str, evaluations: Sequence[Run]) -> list[dict[str, Any]]:
    """Every metric that counts true labels against predicted ones.

    Args:
        run: the run that was evaluated.
        evaluations: the runs that logged something of it, itself included.

    Returns:
        `run`, `evaluation`, `metric`, `rows` (true), `columns` (predicted), `counts` (row by row) each.
    """
    return [
        {"run": run, "evaluation": one.name, "metric": metric, **_matrix(value)}
        for one in evaluations
        for metric, value in one.metrics.items()
        if _is_matrix(value)
    ]


def _is_matrix(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(row, Mapping) for row in value.values())
        and all(type(count) is int for row in value.values() for count in row.values())
    )


def _matrix(value: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    rows = list(value)
    others = dict.fromkeys(label for row in value.values() for label in row if label not in value)
    columns = [*rows, *sorted(others, key=lambda label: label == INVALID)]
    return {
        "rows": rows,
        "columns": columns,
        "counts": [[value[row].get(column, 0) for column in columns] for row in rows],
    }


def curves(figures: Mapping[str, Mapping[str, Estimate]]) -> list[dict[str, Any]]:
    """Metrics at several cut-offs, such as `recall@1`, `recall@5`, `recall@10`, as curves over k.

    Args:
        figures: by run, its figures by metric.

    Returns:
        `metric` (without its k) and `runs` (name to `[k, value, low, high]`, by k) each.
    """
    found: dict[str, dict[str, list[list[float]]]] = {}
    for run, by_metric in figures.items():
        for metric, figure in by_metric.items():
            if (match := _AT_K.fullmatch(metric)) and all(map(math.isfinite, figure[:3])):
                name = f"{match['name']}@k{match['rest']}"
                points = found.setdefault(name, {}).setdefault(run, [])
                points.append([int(match["k"]), *figure[:3]])
    return [
        {"metric": metric, "runs": {name: sorted(points) for name, points in by_run.items()}}
        for metric, by_run in found.items()
        if any(len(points) > 1 for points in by_run.values())
    ]
