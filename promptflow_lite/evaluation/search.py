"""How well does an index find? Questions and their gold passages to ranking metrics."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.metrics.ranking import (
    average_precision,
    hit,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import Embedder, embedded
from promptflow_lite.retrieval.index import Index, IndexMode

if TYPE_CHECKING:
    from promptflow_lite.evaluation.statistics import Estimate
    from promptflow_lite.retrieval.embed import Vectors

__all__ = ["DEPTH", "Question", "Scores", "evaluate", "labels", "read_questions", "vectors_of"]

DEPTH = 10
"""How far down nDCG, MRR and MAP look."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and which passages answer it."""

    text: str
    gold: frozenset[str]
    """Names of documents, of files, or of single chunks."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What each question was worth."""

    questions: int
    each: Mapping[str, Sequence[float]]
    """By metric, such as `recall@5`, the figure of each question."""
    p50_ms: float
    """The median time of a search, without the embedding of the question."""

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric."""
        return {name: fmean(values) for name, values in self.each.items()}

    def interval(self, name: str) -> Estimate:
        """The mean of one metric with its interval (95 %, bootstrap over questions)."""
        from promptflow_lite.evaluation.statistics import mean  # noqa: PLC0415  # heavy: scipy at first use

        return mean(self.each[name])


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSON Lines file.

    A row has `question`, and in `passages` (or `passage_id`) the name of what answers it, or a list of names:
    a document's (`id` of a row, else the file), a file's, or a chunk's as `pf index search` shows it.

    Raises:
        InputError: every row that is not so, with its line.
    """
    found: list[Question] = []
    complaints: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", code="bad-questions") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(_question(json.loads(line)))
            except (ValueError, RecursionError) as error:
                complaints.append(f"{path}:{number}: {error}")
    if not found and not complaints:
        complaints.append(f"{path}: holds no question")
    if complaints:
        raise InputError("\n".join(complaints[:20]), code="bad-questions")
    return found


def _question(row: Any) -> Question:
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise ValueError("expected an object with text in 'question'")
    gold = row.get("passages", row.get("passage_id"))
    names: list[Any] = gold if isinstance(gold, list) else [gold]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a name or names in 'passages' or 'passage_id', got {gold!r}")
    return Question(row["question"], frozenset(names))


async def vectors_of(
    questions: Sequence[Question],
    embedder: Embedder,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Vectors]:
    """The vector of each question, as a query."""
    vectors: list[Vectors] = []
    for start in range(0, len(questions), _BATCH):
        texts = [question.text for question in questions[start : start + _BATCH]]
        vectors.extend(await embedded(texts, embedder, queries=True))
        progress(len(vectors))
    return vectors


async def evaluate(
    index: Index,
    questions: Sequence[Question],
    vectors: Sequence[Vectors | None],
    *,
    mode: IndexMode,
    cutoffs: Sequence[int] = (1, 5, 10),
    diversity: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Ask every question, and score what is found.

    Args:
        index: where to search.
        questions: at least one.
        vectors: of the questions, by the index's embedder; `None` will do for keyword search.
        mode: how to search.
        cutoffs: where to take recall, precision and hit: a node with that `top_k` gets so many passages.
        diversity: as a node's.
        progress: told how many are done.
    """
    depth = max(DEPTH, *cutoffs)
    rankings: list[list[str]] = []
    seconds: list[float] = []
    for number, (question, vector) in enumerate(zip(questions, vectors, strict=True), start=1):
        started = time.perf_counter()
        documents = index.search(question.text, vector, top_k=depth, mode=mode, diversity=diversity)
        seconds.append(time.perf_counter() - started)
        rankings.append(labels(documents, question.gold))
        if number % _BATCH == 0 or number == len(questions):
            progress(number)
            await asyncio.sleep(0)  # whoever wants to stop it is heard
    each = [_figures(ranking, one.gold, cutoffs) for ranking, one in zip(rankings, questions, strict=True)]
    return Scores(
        questions=len(each),
        each={name: [figures[name] for figures in each] for name in each[0]},
        p50_ms=round(median(seconds) * 1000, 3),
    )


def _figures(ranking: Sequence[str], gold: Collection[str], cutoffs: Sequence[int]) -> dict[str, float]:
    return {
        **{f"recall@{k}": recall(ranking, gold, k) for k in cutoffs},
        **{f"hit@{k}": hit(ranking, gold, k) for k in cutoffs},
        **{f"precision@{k}": precision(ranking, gold, k) for k in cutoffs},
        f"mrr@{DEPTH}": reciprocal_rank(ranking, gold, DEPTH),
        f"map@{DEPTH}": average_precision(ranking, gold, DEPTH),
        f"ndcg@{DEPTH}": ndcg(ranking, dict.fromkeys(gold, 1), DEPTH),
    }


def labels(documents: Sequence[Document], gold: Collection[str]) -> list[str]:
    """A name for each: the one that is gold, if one of its names is; empty where it was there before."""
    names: list[str] = []
    for document in documents:
        own = [str(document.metadata.get("document", document.id)), document.id]
        own.append(str(document.metadata.get("source", "")))
        name = next((name for name in own if name in gold), own[0])
        names.append("" if name in names else name)
    return names
