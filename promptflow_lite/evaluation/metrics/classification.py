"""How well do predicted labels agree with the true ones?

Each figure is defined as in scikit-learn 1.7 (`sklearn.metrics`), against which the tests check it. Labels
may be any strings. A prediction that is no known label, `None` included, is wrong and reported apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

__all__ = ["INVALID", "Average", "ClassScore", "Confusion", "confusion"]

Average = Literal["macro", "weighted", "micro"]
"""Each class counts the same; each counts as often as it is true; all lines are counted together."""

INVALID = "(invalid)"
"""The column of a confusion matrix that holds the predictions which are no known label."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 of one class, or of all on average; 0.0 where a figure is undefined."""

    precision: float
    recall: float
    f1: float
    support: int
    """How many lines truly have the label; of an average, all lines."""


@dataclass(frozen=True)
class Confusion:
    """How often each true label was predicted as each label, and every figure that follows from it."""

    labels: tuple[str, ...]
    """The known labels, in the order given."""
    counts: Counter[tuple[str, str]]
    """(true label, predicted label or `INVALID`) to the number of lines."""

    @property
    def total(self) -> int:
        """How many lines were compared."""
        return self.counts.total()

    @property
    def correct(self) -> int:
        """How many lines have the true label predicted."""
        return sum(self.counts[label, label] for label in self.labels)

    @property
    def invalid(self) -> int:
        """How many predictions are no known label."""
        return sum(self.counts[label, INVALID] for label in self.labels)

    @property
    def seen(self) -> tuple[str, ...]:
        """The labels that are true or predicted somewhere; others enter no average, as in scikit-learn."""
        return tuple(label for label in self.labels if self._true[label] or self._predicted[label])

    def accuracy(self) -> float:
        """The share of lines whose predicted label is the true one; 0.0 for no lines."""
        return _ratio(self.correct, self.total)

    def of_class(self, label: str) -> ClassScore:
        """Precision, recall and F1 of one label."""
        hits = self.counts[label, label]
        true, predicted = self._true[label], self._predicted[label]
        return ClassScore(
            precision=_ratio(hits, predicted),
            recall=_ratio(hits, true),
            f1=_ratio(2 * hits, true + predicted),
            support=true,
        )

    def average(self, how: Average) -> ClassScore:
        """Precision, recall and F1 of all classes that are true or predicted somewhere.

        F1 is the average of the classes' F1, not that of the averages, as scikit-learn has it.
        """
        if how == "micro":
            given = self.total - self.invalid
            f1 = _ratio(2 * self.correct, self.total + given)
            return ClassScore(_ratio(self.correct, given), self.accuracy(), f1, self.total)
        scores = [self.of_class(label) for label in self.seen]
        weights = [1 if how == "macro" else score.support for score in scores]

        def mean(figures: Iterable[float]) -> float:
            return _ratio(sum(w * x for w, x in zip(weights, figures, strict=True)), sum(weights))

        return ClassScore(
            mean(score.precision for score in scores),
            mean(score.recall for score in scores),
            mean(score.f1 for score in scores),
            self.total,
        )

    def macro_f1(self) -> float:
        """The mean of the classes' F1, each class counting the same."""
        return self.average("macro").f1

    def weighted_f1(self) -> float:
        """The mean of the classes' F1, each class counting as often as it is true."""
        return self.average("weighted").f1

    def micro_f1(self) -> float:
        """F1 over all lines together; equals accuracy unless predictions are invalid."""
        return self.average("micro").f1

    def balanced_accuracy(self) -> float:
        """The mean recall of the labels that are true somewhere (Brodersen et al. 2010)."""
        return _mean(self.of_class(label).recall for label in self.labels if self._true[label])

    def cohen_kappa(self) -> float:
        """Agreement beyond chance (Cohen 1960); 1.0 where chance alone explains perfect agreement."""
        expected = (
            sum(self._true[label] * self._predicted[label] for label in self.labels) / max(self.total, 1) ** 2
        )
        return 1.0 if expected == 1.0 else (self.accuracy() - expected) / (1.0 - expected)

    def matthews(self) -> float:
        """The multi-class Matthews correlation (Gorodkin 2004, eq. 8); 0.0 where it is undefined."""
        total, predicted = self.total, {label: self._predicted[label] for label in self.labels}
        true = {label: self._true[label] for label in self.labels}
        both = sum(true[label] * predicted[label] for label in self.labels)
        spread_true = total**2 - sum(n**2 for n in true.values())
        spread_predicted = total**2 - sum(n**2 for n in predicted.values()) - self.invalid**2
        return _ratio(self.correct * total - both, sqrt(spread_true * spread_predicted))

    def table(self) -> dict[str, dict[str, int]]:
        """The matrix as plain data: true label to predicted label to the number of lines; zeros left out."""
        columns = (*self.labels, INVALID)
        return {
            t: {p: self.counts[t, p] for p in columns if self.counts[t, p]}
            for t in self.labels
            if self._true[t]
        }

    @cached_property
    def _true(self) -> Counter[str]:
        """By label, how many lines truly have it."""
        return self._sums(0)

    @cached_property
    def _predicted(self) -> Counter[str]:
        return self._sums(1)

    def _sums(self, side: int) -> Counter[str]:
        sums: Counter[str] = Counter()
        for labels, count in self.counts.items():
            sums[labels[side]] += count
        return sums


def confusion(truth: Sequence[str], predicted: Sequence[str | None], labels: Iterable[str] = ()) -> Confusion:
    """Count predictions against the truth.

    Args:
        truth: the true label of each line.
        predicted: the predicted label of each line, in the same order; `None` for no answer.
        labels: the known labels; without them, those that are true somewhere, sorted.

    Raises:
        ValueError: the two sequences differ in length, or a true label is not among `labels`.
    """
    if len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} true labels, but {len(predicted)} predictions")
    known = tuple(dict.fromkeys(labels)) or tuple(sorted(set(truth)))
    among = frozenset(known)
    unknown = sorted(set(truth) - among)
    if unknown:
        raise ValueError(f"the true labels {', '.join(map(repr, unknown))} are not among the known labels")
    seen = Counter(zip(truth, predicted, strict=True))  # far fewer than lines
    counts: Counter[tuple[str, str]] = Counter()
    for (true, given), count in seen.items():
        counts[true, given if given in among else INVALID] += count
    return Confusion(known, counts)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return _ratio(sum(numbers), len(numbers))
