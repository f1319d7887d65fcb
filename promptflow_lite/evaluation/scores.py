"""What did each line of a run score? Its own figures, and those of the runs that evaluated it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.compare import Key, Scores
from promptflow_lite.evaluation.metrics.usage import PERCENTILES, used
from promptflow_lite.flow.conversation import TURNS
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.records import key_of
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import JOURNAL, RunStore

__all__ = [
    "COMPLETED",
    "GRADES",
    "LOWER_IS_BETTER",
    "OWN",
    "SECONDS",
    "TOKENS",
    "ScoredRun",
    "read",
    "score_of",
]

COMPLETED = "completed"
"""1 for a line that completed, 0 for one that failed."""
SECONDS = "seconds"
TOKENS = "total_tokens"
OWN = (COMPLETED, SECONDS, TOKENS)
"""What every run is scored in, without an evaluator."""
LOWER_IS_BETTER = frozenset({SECONDS, TOKENS, "cost", *(f"seconds_p{one}" for one in PERCENTILES)})

GRADES = {"correct": 1.0, "incorrect": 0.0, "wrong": 0.0, "invalid": 0.0, "pass": 1.0, "fail": 0.0}
"""Outputs that are a grade in words, as in Prompt flow's own evaluation flows; case does not matter."""


@dataclass(frozen=True)
class ScoredRun:
    """A run's lines and what they scored."""

    run: Run
    scores: Mapping[str, Scores]
    """By metric. `f1` is the output `f1` of whatever evaluated the run, `qa.f1` where two have it."""
    outputs: Mapping[Key, Mapping[str, Any]]
    """What each line gave; a line that failed has its error under `error`."""
    inputs: Mapping[Key, Mapping[str, Any]]
    logged: Mapping[str, float] = field(default_factory=dict)
    """What it and the runs that evaluated it logged as metrics of the whole, such as a macro F1, and what it
    took, such as `seconds_p95` and `cost`."""
    evaluations: Sequence[str] = ()
    """The runs that evaluated it."""
    places: Mapping[Key, tuple[int, int]] = field(default_factory=dict)
    """Where each line stands in the journal: its number and its repeat."""

    @property
    def failed(self) -> set[Key]:
        """The lines that failed."""
        return {key for key, value in self.scores[COMPLETED].items() if not value}


def read(store: RunStore, name: str, *, by: str | None = None) -> ScoredRun:
    """A run with its scores and those of every completed run that builds on it.

    Args:
        store: where the runs are.
        name: the run. An evaluation run is read by itself: its outputs are the scores.
        by: the input that names an item; `None`: its line number does.

    Raises:
        RunNotFound: no run has that name.
        InputError: lines have no input `by` (`missing-column`), or share one (`duplicate-id`).
    """
    run = store.load(name)
    records = list(Records.read(store.folder(name) / JOURNAL).each())
    keys = _keys(records, by, name)
    own: dict[str, dict[Key, float]] = {metric: {} for metric in OWN}
    for record in records:
        key = keys[record["line_number"], record.get("repeat", 0)]
        own[COMPLETED][key] = float(record["status"] == Status.Completed)
        if record["status"] == Status.Completed:
            own[SECONDS][key] = float(record["seconds"])
            usage = record["usage"]
            own[TOKENS][key] = float(usage["prompt_tokens"] + usage["completion_tokens"])
    if not any(own[TOKENS].values()):
        del own[TOKENS]
    evaluations = _evaluations(store, name)
    columns = {"": _columns(records, keys)}
    for evaluation in evaluations:
        found = list(Records.read(store.folder(evaluation.name) / JOURNAL).each(Status.Completed))
        columns[_short_name(evaluation)] = _columns(found, keys)
    return ScoredRun(
        run,
        {**own, **_named(columns)},
        {keys[key_of(record)]: _given(record) for record in records},
        {keys[key_of(record)]: record["inputs"] for record in records},
        {**_logged([run, *evaluations]), **_used(records)},
        tuple(evaluation.name for evaluation in evaluations),
        {key: place for place, key in keys.items()},
    )


def _used(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the run took, as figures of the whole."""
    done = [record for record in records if record["status"] == Status.Completed]
    usages = [record["usage"] or {} for record in records]
    return used(
        [float(record["seconds"]) for record in done],
        [usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0) for usage in usages],
        [usage.get("cost") for usage in usages],
        len(records) - len(done),
    )


def _given(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record["status"] == Status.Completed:
        outputs: Mapping[str, Any] = record["outputs"]
        return outputs
    return {"error": (record["error"] or {}).get("message", "")}


def _keys(records: Sequence[Mapping[str, Any]], by: str | None, name: str) -> dict[tuple[int, int], Key]:
    if by is None:
        return {key_of(record): Key(*key_of(record)) for record in records}
    without = [record["line_number"] for record in records if by not in record["inputs"]]
    if without:
        raise InputError(
            f"run {name!r}: {len(without)} lines, such as {without[0]}, have no input {by!r}",
            code="missing-column",
            hint="--by names an input of the flow that tells items apart",
        )
    keys = {key_of(record): Key(_plain(record["inputs"][by]), key_of(record)[1]) for record in records}
    seen: dict[Key, int] = {}
    for (number, _), key in keys.items():
        if key in seen:
            raise InputError(
                f"run {name!r}: lines {seen[key]} and {number} have the same {by!r}: {key.item!r}",
                code="duplicate-id",
            )
        seen[key] = number
    return keys


def _plain(value: Any) -> Hashable:
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def _evaluations(store: RunStore, name: str) -> list[Run]:
    """The completed runs that build on `name`; of several by one evaluator, the latest."""
    runs, _ = store.all()  # the newest first
    latest: dict[str, Run] = {}
    for run in runs:
        if run.run == name and run.status is Status.Completed:
            latest.setdefault(_short_name(run), run)
    return list(latest.values())[::-1]


def _short_name(run: Run) -> str:
    path = Path(run.flow)
    return path.parent.name if path.suffix else path.name


def _logged(runs: Sequence[Run]) -> dict[str, float]:
    """By metric; one that two runs have goes by `evaluator.metric` in all but the first."""
    logged: dict[str, float] = {}
    for run in runs:
        for metric, value in run.metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                logged[metric if metric not in logged else f"{_short_name(run)}.{metric}"] = float(value)
    return logged


def _columns(
    records: Sequence[Mapping[str, Any]], keys: Mapping[tuple[int, int], Key]
) -> dict[str, dict[Key, float]]:
    """Every output that is a number, a flag or a grade, by line; others are not scores."""
    columns: dict[str, dict[Key, float]] = {}
    for record in records:
        key = keys.get(key_of(record))
        if key is None or record["status"] != Status.Completed:
            continue
        for name, value in record["outputs"].items():
            if (score := score_of(value)) is not None:
                columns.setdefault(name, {})[key] = score
        for name, score in _of_turns(record["outputs"]).items():
            columns.setdefault(name, {}).setdefault(key, score)
    return columns


def _of_turns(outputs: Mapping[str, Any]) -> dict[str, float]:
    """What a conversation scored where each of its turns was scored by itself: the means.

    The line's own outputs have those of numbers; here are those of grades in words.
    """
    turns = outputs.get(TURNS)
    if not isinstance(turns, list):
        return {}
    found: dict[str, list[float]] = {}
    for turn in turns:
        for name, value in turn.items() if isinstance(turn, Mapping) and "question" not in turn else ():
            if (score := score_of(value)) is not None:
                found.setdefault(name, []).append(score)
    return {name: sum(scores) / len(scores) for name, scores in found.items()}


def score_of(value: Any) -> float | None:
    """An output as a score: a number, a flag, or a grade in words; `None` where it is none."""
    if isinstance(value, bool | int | float):
        return float(value) if math.isfinite(value) else None
    return GRADES.get(value.strip().casefold()) if isinstance(value, str) else None


def _named(columns: Mapping[str, Mapping[str, dict[Key, float]]]) -> dict[str, Scores]:
    """One mapping of all: a name that only one run has stays short."""
    owners: dict[str, list[str]] = {}
    for owner, metrics in columns.items():
        for metric in metrics:
            owners.setdefault(metric, []).append(owner)
    return dict(_each(columns, owners))


def _each(
    columns: Mapping[str, Mapping[str, dict[Key, float]]], owners: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Scores]]:
    for owner, metrics in columns.items():
        for metric, scores in metrics.items():
            is_alone = len(owners[metric]) == 1 and metric not in OWN
            yield (metric if is_alone or not owner else f"{owner}.{metric}"), scores
