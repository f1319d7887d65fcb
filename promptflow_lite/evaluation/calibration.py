"""How far can a judge be trusted? Its scores beside the labels that people gave the same lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import pvariance
from typing import Any

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.evaluation.agreement import Level, alpha, alpha_interval, kappa
from promptflow_lite.evaluation.compare import Key
from promptflow_lite.evaluation.scores import ScoredRun
from promptflow_lite.evaluation.statistics import Estimate, mean, wilson

__all__ = ["Calibration", "Labels", "Repeats", "calibrate", "score_of"]

Labels = Mapping[Hashable, Sequence[Any]]
"""By item, what each person said of it; a person who said nothing is left out."""

_FEW = 10


@dataclass(frozen=True)
class Repeats:
    """How far a judge agrees with itself."""

    count: int
    """How often it judged an item, at most."""
    variance: float | None
    """The mean variance of an item's scores; `None` for words."""
    steady: float
    """The share of items that it scored the same every time."""
    alpha: float | None


@dataclass(frozen=True)
class Calibration:
    """A judge beside people. Where an item has several ratings, their median counts (of words, the mode)."""

    score: str
    level: Level
    items: int
    """How many the judge and people both rated."""
    unjudged: int
    """Labelled items without a score: the judge could not be read, the line failed or was skipped."""
    unlabelled: int
    """Judged items without a label."""
    agreement: Estimate
    """The share of items where both say the same."""
    within_one: float | None
    """The share where they are 1 apart at most; `None` for words and for yes and no."""
    bias: Estimate | None
    """The judge's mean less that of people; `None` for words."""
    kappa: float | None
    kappa_linear: float | None
    kappa_quadratic: float | None
    alpha: Estimate | None
    people_alpha: float | None
    """Of people among themselves; `None` where no two labelled the same item."""
    repeats: Repeats | None
    """`None` where the judge rated each item once."""
    confusion: Mapping[str, Mapping[str, int]]
    """People's rating to the judge's to how many items."""


def score_of(run: ScoredRun, name: str | None) -> str:
    """Which output holds the judge's scores.

    Args:
        run: the judge's.
        name: as it was asked for; `None`: the only one that is a number, a flag, or a grade in words.

    Raises:
        InputError: there is none, or several (`unknown-score`).
    """
    outputs = {output: None for line in run.outputs.values() for output in line if output != "error"}
    if name is not None:
        if name not in outputs:
            raise InputError(
                f"run {run.run.name!r} has no output {name!r}; it has: {', '.join(outputs) or 'none'}",
                code="unknown-score",
                hint=near_miss(name, outputs),
            )
        return name
    scores = [output for output in outputs if output in run.scores]
    if len(scores) != 1:
        what = f"several scores: {', '.join(scores)}" if scores else f"no score; it has: {', '.join(outputs)}"
        raise InputError(
            f"run {run.run.name!r} has {what}", code="unknown-score", hint="--score names the one to look at"
        )
    return scores[0]


def calibrate(
    run: ScoredRun, labels: Labels, score: str, *, level: Level | None = None, at_least: float | None = None
) -> Calibration:
    """The judge's scores beside the labels.

    Args:
        run: the judge's.
        labels: by item: the line number, or the value of the id column by which `run` was read.
        score: the output that holds the scores.
        level: what the difference of two ratings is; `None`: of words and flags `nominal`, of a few whole
            numbers `ordinal`, of others `interval`.
        at_least: a score of this or more is a yes, a lower one a no: for labels that are yes or no.

    Raises:
        InputError: nothing was rated by both (`nothing-to-compare`), or one rates in words where the other
            does in numbers (`different-ratings`).
    """
    judged: dict[Hashable, list[Any]] = {}
    for key, outputs in sorted(run.outputs.items(), key=lambda line: _repeat(line[0])):
        if score in outputs and outputs[score] is not None:
            judged.setdefault(key.item, []).append(_rating(outputs[score], at_least))
    rated = {item: [_rating(label) for label in given] for item, given in labels.items() if given}
    items = [item for item in judged if item in rated]
    if not items:
        raise InputError(
            f"run {run.run.name!r} and the labels share no rated item: {len(judged)} are judged, "
            f"{len(rated)} labelled",
            code="nothing-to-compare",
        )
    everything = [value for item in items for value in (*judged[item], *rated[item])]
    _check_kinds(
        [v for item in items for v in judged[item]], [v for item in items for v in rated[item]], score
    )
    level = level or _level(everything)
    if level != "nominal" and isinstance(everything[0], str):
        raise InputError(
            f"ratings such as {everything[0]!r} are words: their level is nominal", code="bad-option"
        )
    pairs = [(_middle(rated[item], level), _middle(judged[item], level)) for item in items]
    numbers = not isinstance(everything[0], str)
    apart = [judge - person for person, judge in pairs] if numbers else []
    return Calibration(
        score=score,
        level=level,
        items=len(items),
        unjudged=len(rated.keys() - judged.keys()),
        unlabelled=len(judged.keys() - rated.keys()),
        agreement=wilson(sum(person == judge for person, judge in pairs), len(pairs)),
        within_one=sum(abs(d) <= 1 for d in apart) / len(apart) if numbers and level != "nominal" else None,
        bias=mean(apart) if numbers else None,
        kappa=kappa(pairs),
        kappa_linear=kappa(pairs, "linear") if level != "nominal" else None,
        kappa_quadratic=kappa(pairs, "quadratic") if level != "nominal" else None,
        alpha=alpha_interval(pairs, level),
        people_alpha=alpha([rated[item] for item in items], level),
        repeats=_repeats([judged[item] for item in items], level),
        confusion=_confusion(pairs),
    )


def _repeat(key: Key) -> int:
    return key.repeat


def _rating(value: Any, at_least: float | None = None) -> Any:
    """Numbers as floats, flags as `yes` and `no`, words without the space around them."""
    if at_least is not None and isinstance(value, int | float) and not isinstance(value, bool):
        value = value >= at_least
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return float(value)
    return str(value).strip()


def _check_kinds(judge: Sequence[Any], people: Sequence[Any], score: str) -> None:
    kinds = [{isinstance(value, str) for value in side} for side in (judge, people)]
    if kinds[0] == kinds[1] and len(kinds[0]) == 1:
        return
    judges, persons = (sorted({_name(value) for value in side})[:3] for side in (judge, people))
    raise InputError(
        f"the judge's {score!r} is such as {', '.join(judges)}, the labels are such as {', '.join(persons)}: "
        "they cannot be compared",
        code="different-ratings",
        hint="--at-least 4 makes yes of a score of 4 or more, and no of a lower one",
    )


def _level(ratings: Collection[Any]) -> Level:
    if any(isinstance(rating, str) for rating in ratings):
        return "nominal"
    values = set(ratings)
    return "ordinal" if len(values) <= _FEW and all(value == int(value) for value in values) else "interval"


def _middle(ratings: Sequence[Any], level: Level) -> Any:
    """The mode, of words; else the median, of two in the middle the lower: a value that was really given."""
    if level == "nominal":
        counts = Counter(ratings)
        return min(counts, key=lambda value: (-counts[value], value))
    return sorted(ratings)[(len(ratings) - 1) // 2]


def _repeats(ratings: Sequence[Sequence[Any]], level: Level) -> Repeats | None:
    several = [given for given in ratings if len(given) > 1]
    if not several:
        return None
    is_words = isinstance(several[0][0], str)
    return Repeats(
        count=max(map(len, several)),
        variance=None if is_words else sum(pvariance(given) for given in several) / len(several),
        steady=sum(len(set(given)) == 1 for given in several) / len(several),
        alpha=alpha(several, level),
    )


def _confusion(pairs: Sequence[tuple[Any, Any]]) -> dict[str, dict[str, int]]:
    counts = Counter(pairs)
    values = sorted({value for pair in pairs for value in pair})
    return {_name(person): {_name(judge): counts[person, judge] for judge in values} for person in values}


def _name(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
