"""How do several runs over the same items differ? Every metric they share, and the lines that changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.evaluation.compare import Comparison, Key, compare, estimate
from promptflow_lite.evaluation.scores import LOWER_IS_BETTER, OWN, ScoredRun
from promptflow_lite.evaluation.statistics import Estimate

__all__ = ["SideBySide", "figures", "side_by_side"]


@dataclass(frozen=True)
class SideBySide:
    """A baseline and the runs that are held against it."""

    baseline: ScoredRun
    candidates: Sequence[ScoredRun]
    comparisons: Sequence[Comparison]
    """Metric by metric, within one candidate by candidate."""
    newly_failing: Mapping[str, Sequence[Key]]
    """By candidate: lines that failed there and completed in the baseline."""
    no_longer_failing: Mapping[str, Sequence[Key]]
    notes: Sequence[str]
    """What a reader must know: metrics that not all runs have, lines that were not paired."""

    def of(self, candidate: str) -> dict[str, Comparison]:
        """The comparisons of one candidate, by metric."""
        return {one.metric: one for one in self.comparisons if one.candidate == candidate}


def side_by_side(
    runs: Sequence[ScoredRun],
    *,
    metrics: Collection[str] = (),
    margins: Mapping[str, float] | None = None,
    lower_is_better: Collection[str] = (),
    is_same_data: bool = True,
) -> SideBySide:
    """The first run against each of the others.

    Args:
        runs: two or more.
        metrics: what is compared; none: all that every run has.
        margins: by metric, how much worse is still "no worse".
        lower_is_better: metrics where less is more, beside seconds and tokens.
        is_same_data: items are told by their line number, so the data must be the same.

    Raises:
        InputError: the runs have different data (`different-data`), not all have a metric that is asked for
            (`unknown-metric`), or they have no scored line in common (`nothing-to-compare`).
    """
    baseline, *candidates = runs
    if is_same_data:
        _check_data(runs)
    shared = [metric for metric in _in_order(baseline.scores) if all(metric in run.scores for run in runs)]
    chosen = _chosen(metrics, shared, runs)
    comparisons: list[Comparison] = []
    for metric in chosen:
        try:
            comparisons += compare(
                metric,
                (baseline.run.name, baseline.scores[metric]),
                {run.run.name: run.scores[metric] for run in candidates},
                margin=(margins or {}).get(metric),
                lower_is_better=metric in LOWER_IS_BETTER or metric in lower_is_better,
            )
        except ValueError as error:
            raise InputError(str(error), code="nothing-to-compare") from error
    return SideBySide(
        baseline,
        candidates,
        comparisons,
        {run.run.name: sorted(run.failed - baseline.failed, key=_by_item) for run in candidates},
        {run.run.name: sorted(baseline.failed - run.failed, key=_by_item) for run in candidates},
        [*_left_out(runs, shared), *_unpaired(comparisons)],
    )


def figures(run: ScoredRun) -> dict[str, Estimate]:
    """Every figure of a run: means over its lines with their intervals, and, without one, what it logged."""
    means = {metric: estimate(scores) for metric, scores in run.scores.items() if scores}
    completed = means.get("completed")
    failures = (
        {"failure_rate": Estimate(1 - completed.value, 1 - completed.high, 1 - completed.low)}
        if completed
        else {}
    )
    known = means.keys() | failures.keys()
    logged = {
        metric: Estimate(value, value, value, has_interval=False)
        for metric, value in run.logged.items()
        if metric not in known
    }
    return {**means, **failures, **logged}


def _check_data(runs: Sequence[ScoredRun]) -> None:
    baseline, *others = runs
    for run in others:
        if run.run.fingerprint.get("data") != baseline.run.fingerprint.get("data"):
            raise InputError(
                f"{baseline.run.name} and {run.run.name} ran over different data; their lines do not pair",
                code="different-data",
                hint="--by COLUMN  pairs them by an input that names the item",
            )


def _chosen(asked: Collection[str], shared: Sequence[str], runs: Sequence[ScoredRun]) -> list[str]:
    for metric in asked:
        if metric not in shared:
            having = [run.run.name for run in runs if metric in run.scores]
            where = f"only {', '.join(having)} has it" if having else "no run has it"
            raise InputError(
                f"there is no metric {metric!r} to compare: {where}",
                code="unknown-metric",
                hint=near_miss(metric, shared) or f"there are: {', '.join(shared)}",
            )
    return list(asked) if asked else list(shared)


def _in_order(metrics: Collection[str]) -> list[str]:
    """What an evaluator says first, then what every run has."""
    return [
        *(metric for metric in metrics if metric not in OWN),
        *(metric for metric in OWN if metric in metrics),
    ]


def _left_out(runs: Sequence[ScoredRun], shared: Collection[str]) -> list[str]:
    having = {
        metric: [run.run.name for run in runs if metric in run.scores]
        for metric in dict.fromkeys(metric for run in runs for metric in run.scores)
        if metric not in shared
    }
    return [f"{metric}: not compared, only {', '.join(names)} has it" for metric, names in having.items()]


def _unpaired(comparisons: Sequence[Comparison]) -> list[str]:
    return [
        f"{one.metric}: {one.pairs} lines compared; {one.only_baseline} only {one.baseline} and "
        f"{one.only_candidate} only {one.candidate} has"
        for one in comparisons
        if (one.only_baseline or one.only_candidate) and one.metric not in OWN
    ]


def _by_item(key: Key) -> tuple[str, str, int]:
    return (
        type(key.item).__name__,
        f"{key.item:>20}" if isinstance(key.item, int) else str(key.item),
        key.repeat,
    )
