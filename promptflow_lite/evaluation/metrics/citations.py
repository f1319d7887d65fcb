"""Does an answer cite what it should? Its citations beside the passages that answer the question."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from promptflow_lite.tools.citations import numbers_cited

__all__ = ["CitationScores", "citation_scores"]


@dataclass(frozen=True, slots=True)
class CitationScores:
    """What the citations of one answer are worth."""

    precision: float | None
    """The share of its citations that are right; `None` where it cites nothing."""
    recall: float | None
    """The share of the right passages that it cites; `None` where no passage is right."""
    cited: int
    """How many different citations it has, those of passages that do not exist among them."""
    unknown: int
    """How many of them are of passages that do not exist."""

    @property
    def f1(self) -> float | None:
        """The harmonic mean of the two; 0 where only one of them is there, `None` where neither is."""
        if self.precision is None and self.recall is None:
            return None
        first, second = self.precision or 0.0, self.recall or 0.0
        return 2 * first * second / (first + second) if first + second else 0.0


def citation_scores(answer: str, passages: Sequence[str], right: Collection[str]) -> CitationScores:
    """How well the marks of an answer, such as `[1]`, name the passages that answer the question.

    A passage that is cited several times counts once. Gao et al. 2023 (ALCE) ask whether a passage supports
    its sentence; here it is known which passages are right, and no model judges.

    Args:
        answer: with its marks: `[1]`, `［１］`, `【1】`, `[1, 3]`, `[1-3]`.
        passages: the names of what `[1]`, `[2]` ... stand for, in that order.
        right: the names of the passages that answer the question; none, if nothing does.

    >>> citation_scores("It blinks [1]. It sings [2][7].", ["lamp", "song"], {"lamp", "care"})
    CitationScores(precision=0.3333333333333333, recall=0.5, cited=3, unknown=1)
    """
    names, unknown = _names_cited(answer, passages)
    found = len(names & set(right))
    count = len(names) + unknown
    return CitationScores(
        precision=found / count if count else None,
        recall=found / len(set(right)) if right else None,
        cited=count,
        unknown=unknown,
    )


def _names_cited(answer: str, passages: Sequence[str]) -> tuple[set[str], int]:
    """The names of the passages that an answer cites, and how many of its numbers are of none."""
    numbers, unknown = numbers_cited(answer, len(passages))
    return {passages[number - 1] for number in numbers}, unknown
