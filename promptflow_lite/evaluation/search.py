"""How well does an index find? Questions and their gold passages to recall, MRR and nDCG."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.index import IndexMode
from promptflow_lite.retrieval.retriever import IndexRetriever

__all__ = [
    "DEPTH",
    "Question",
    "Scores",
    "evaluate",
    "labels",
    "ndcg",
    "read_questions",
    "recall",
    "reciprocal_rank",
]

DEPTH = 10
"""How far down nDCG looks."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and which passages answer it."""

    text: str
    gold: frozenset[str]
    """Names of documents, of files, or of single chunks."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over questions."""

    questions: int
    recall: Mapping[int, float]
    """By the number of passages that are looked at."""
    mrr: float
    ndcg: float
    p50_ms: float
    """The median time of a search, the embedding of the question included."""


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


async def evaluate(
    retriever: IndexRetriever,
    questions: Sequence[Question],
    *,
    mode: IndexMode,
    cutoffs: Sequence[int] = (1, 5, 10),
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Ask every question, and score what is found.

    Args:
        retriever: over the index.
        questions: at least one.
        mode: how to search.
        cutoffs: where to take recall: a node with that `top_k` gets so many passages.
        progress: told how many are done.
    """
    depth = max(DEPTH, *cutoffs)
    found: list[list[str]] = []
    seconds: list[float] = []
    for number, question in enumerate(questions, start=1):
        started = time.perf_counter()
        documents = await retriever.retrieve(question.text, top_k=depth, mode=mode)
        seconds.append(time.perf_counter() - started)
        found.append(labels(documents, question.gold))
        progress(number)
    pairs = [(ranking, question.gold) for ranking, question in zip(found, questions, strict=True)]
    return Scores(
        questions=len(pairs),
        recall={k: fmean(recall(ranking, gold, k) for ranking, gold in pairs) for k in cutoffs},
        mrr=fmean(reciprocal_rank(ranking, gold) for ranking, gold in pairs),
        ndcg=fmean(ndcg(ranking, gold) for ranking, gold in pairs),
        p50_ms=round(median(seconds) * 1000, 3),
    )


def labels(documents: Sequence[Document], gold: Collection[str]) -> list[str]:
    """A name for each: the one that is gold, if one of its names is; empty where it was there before."""
    names: list[str] = []
    for document in documents:
        own = [str(document.metadata.get("document", document.id)), document.id]
        own.append(str(document.metadata.get("source", "")))
        name = next((name for name in own if name in gold), own[0])
        names.append("" if name in names else name)
    return names


def recall(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """The share of `gold` among the first `k`."""
    return len(set(ranking[:k]) & set(gold)) / len(gold)


def reciprocal_rank(ranking: Sequence[str], gold: Collection[str]) -> float:
    """One over the place of the first that is gold; 0 where none is."""
    return next((1 / place for place, name in enumerate(ranking, start=1) if name in gold), 0.0)


def ndcg(ranking: Sequence[str], gold: Collection[str], k: int = DEPTH) -> float:
    """Normalized discounted cumulative gain of the first `k`; gold is worth 1 (Järvelin, Kekäläinen 2002)."""
    gains = [1 / math.log2(place + 1) for place in range(1, k + 1)]
    gained = sum(gain for gain, name in zip(gains, ranking, strict=False) if name in gold)
    return gained / sum(gains[: len(gold)])
