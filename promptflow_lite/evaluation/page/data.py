"""What does the page know? Runs, their figures, how they compare, and every line; plain data."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptflow_lite.evaluation.compare import Comparison, Key
from promptflow_lite.evaluation.gate import Result, verdict
from promptflow_lite.evaluation.page import charts, ranking
from promptflow_lite.evaluation.page.lines import Lines, name_of
from promptflow_lite.evaluation.page.texts import CUT, Texts
from promptflow_lite.evaluation.scores import LOWER_IS_BETTER, OWN, ScoredRun
from promptflow_lite.evaluation.side_by_side import SideBySide, figures
from promptflow_lite.evaluation.statistics import Estimate
from promptflow_lite.runs.combinations import label
from promptflow_lite.runs.store import RunStore

__all__ = ["LINES", "Shown", "collect"]

LINES = 5000
"""Lines that a page shows unless it is asked for more; a browser searches so many at once."""


Estimates = Mapping[str, Mapping[str, Estimate]]
"""By run, its figures by metric."""
FAILURES = "failure_rate"
"""What `figures` adds to a run's own metrics."""


@dataclass(frozen=True)
class Shown:
    """What a page is about."""

    runs: Sequence[ScoredRun]
    """The first is the baseline, where they are compared."""
    found: SideBySide | None = None
    """How they compare; `None`: there is one, or they do not pair."""
    results: Sequence[Result] = ()
    """What came of a gate."""
    notes: Sequence[str] = ()
    """What a reader must know."""

    @property
    def are_paired(self) -> bool:
        """Whether the runs' lines are the same ones."""
        data = {one.run.fingerprint.get("data", one.run.name) for one in self.runs}
        return self.found is not None or len(data) == 1


def collect(store: RunStore, shown: Shown, *, limit: int = LINES) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        store: where the runs are.
        shown: what the page is about.
        limit: how many lines at most; those that failed or changed come before others.
    """
    texts = Texts()
    lines = Lines(store, shown.runs, are_paired=shown.are_paired)
    notable = _notable(shown)
    keys = lines.chosen(limit, notable)
    first = set(notable)
    rows = {key: lines.row(key, texts) for key in sorted(keys, key=lambda key: key not in first)}
    estimates = {run.run.name: figures(run) for run in shown.runs}
    left = len(lines.keys) - len(keys)
    notes = [*shown.notes, *(_together(shown.found.notes) if shown.found else ())]
    if left:
        notes.append(
            f"{left:,} of {len(lines.keys):,} lines are not on this page; --lines says how many are."
        )
    if texts.cut:
        notes.append(f"{texts.cut:,} texts are cut after {CUT:,} characters; lines.jsonl has them whole.")
    if texts.is_full:
        notes.append("The page is full: some lines came without their traces; lines.jsonl has them.")
    return {
        "title": _title(shown),
        "made": time.time(),
        "runs": [_facts(run, store) for run in shown.runs],
        "figures": _figures(shown, estimates),
        "comparisons": [_comparison(one) for one in shown.found.comparisons] if shown.found else [],
        "failing": _failing(shown.found) if shown.found else [],
        "gate": [
            {"run": r.run, "rule": str(r.rule), "outcome": r.outcome.value, "why": r.why}
            for r in shown.results
        ],
        "outcome": verdict(shown.results).value if shown.results else None,
        "distributions": charts.distributions(shown.runs),
        "matrices": [
            matrix
            for run in shown.runs
            for matrix in charts.matrices(
                run.run.name, [run.run, *(store.load(name) for name in run.evaluations)]
            )
        ],
        "curves": _curves(store, shown.runs, estimates),
        "notes": notes,
        "lines": [rows[key] for key in keys],
        "total": len(lines.keys),
        "texts": texts.kept,
    }


def _curves(store: RunStore, runs: Sequence[ScoredRun], estimates: Estimates) -> list[dict[str, Any]]:
    """Those of rankings at every cut-off, and of what evaluations logged at several."""
    whole = ranking.curves(store, runs)
    names = {one["metric"] for one in whole}
    return [*whole, *(one for one in charts.curves(estimates) if one["metric"] not in names)]


def _together(notes: Sequence[str]) -> list[str]:
    """Notes that say the same of several metrics, said once.

    >>> _together(["f1: 9 lines compared", "em: 9 lines compared"])
    ['f1, em: 9 lines compared']
    """
    subjects: dict[str, list[str]] = {}
    for note in notes:
        subject, _, said = note.partition(": ")
        subjects.setdefault(said, []).append(subject)
    return [f"{', '.join(those)}: {said}" for said, those in subjects.items()]


def _title(shown: Shown) -> str:
    return ", ".join(one.run.display_name or one.run.name for one in shown.runs)


def _facts(scored: ScoredRun, store: RunStore) -> dict[str, Any]:
    run = scored.run
    return {
        "name": run.name,
        "display_name": run.display_name,
        "description": run.description,
        "tags": run.tags,
        "status": run.status.value,
        "error": (run.error or {}).get("message"),
        "flow": run.flow,
        "data": run.data,
        "variant": run.variant,
        "choice": label(run.choice) or None,
        "builds_on": run.run,
        "evaluations": list(scored.evaluations),
        "created": run.created,
        "seconds": round(run.seconds, 3),
        "lines": run.lines.model_dump(),
        "failures": run.failures,
        "tokens": run.usage.get("total_tokens") or None,
        "cost": run.cost,
        "latency": charts.latency(scored),
        "fingerprint": run.fingerprint,
        "folder": str(store.folder(run.name)),
    }


def _figures(shown: Shown, found: Estimates) -> list[dict[str, Any]]:
    """Metric by metric, each run's value with its interval: scores of lines before what is logged."""
    metrics = sorted(
        dict.fromkeys(metric for by_metric in found.values() for metric in by_metric),
        key=lambda metric: (
            metric in (*OWN, FAILURES) or metric in LOWER_IS_BETTER,
            not any(metric in run.scores for run in shown.runs),
            all(by_metric[metric].value.is_integer() for by_metric in found.values() if metric in by_metric),
        ),
    )
    lower = {one.metric for one in shown.found.comparisons if one.lower_is_better} if shown.found else set()
    return [
        {
            "metric": metric,
            "lower_is_better": metric in LOWER_IS_BETTER or metric in lower or metric == FAILURES,
            "scored": {run.run.name: len(run.scores[metric]) for run in shown.runs if metric in run.scores},
            "runs": {
                name: _estimate(by_metric[metric]) for name, by_metric in found.items() if metric in by_metric
            },
        }
        for metric in metrics
    ]


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "baseline": one.baseline,
        "candidate": one.candidate,
        "pairs": one.pairs,
        "means": [_estimate(one.baseline_mean), _estimate(one.candidate_mean)],
        "difference": _estimate(one.difference),
        "p": one.adjusted_p,
        "verdict": one.verdict.value,
        "margin": one.margin,
        "lines_needed": one.lines_needed,
        "lower_is_better": one.lower_is_better,
        "better": len(one.better),
        "worse": len(one.worse),
    }


def _failing(found: SideBySide) -> list[dict[str, Any]]:
    """By candidate, the lines that fail only there, and those that fail only in the baseline."""
    return [
        {
            "run": run.run.name,
            "newly": [name_of(key) for key in found.newly_failing[run.run.name]],
            "no_longer": [name_of(key) for key in found.no_longer_failing[run.run.name]],
        }
        for run in found.candidates
    ]


def _notable(shown: Shown) -> list[Key]:
    """Lines that a reader looks for first: what failed, then what got worse or better."""
    keys = [key for run in shown.runs for key in run.failed]
    for one in shown.found.comparisons if shown.found else ():
        if one.metric not in LOWER_IS_BETTER:
            keys += [change.key for change in (*one.worse, *one.better)]
    return keys


def _estimate(figure: Estimate) -> list[float | None]:
    """Value, low and high; an end that is nowhere is `None`."""
    return [value if math.isfinite(value) else None for value in figure[:3]]
