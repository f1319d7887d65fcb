"""What does an index find, and cost, beside a plain BM25 library and a plain vector search?

    python tests/benchmarks/retrieval_beside.py --data ../shared/data

The same passages, uncut, the same words and the same vectors: bm25s for words; for vectors usearch, exact as
ours is, and numpy's product of a matrix and a vector, which is no library but the least that such a search
can be. Each side takes a question and gives what a flow needs: ten passages with id, text, metadata and
score, the plain ones as dicts copied from a list. The sides take turns, question by question, in a random
order. `embedded` includes the embedding of the question, which each side makes for itself. One thread each,
as a search of a batch has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is loaded

import bm25s
import numpy as np
from usearch.index import Index as VectorLibrary

from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import LocalEmbedder, local_embedder
from promptflow_lite.retrieval.index import Index, IndexMode
from promptflow_lite.retrieval.stem import stems
from promptflow_lite.retrieval.tokenize import query_terms, terms

_DEPTH = 10

Ask = Callable[[int], Sequence[str]]
"""The ids of what is found for the question of that number."""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Figures(NamedTuple):
    """What one side found, and how long each question took it."""

    recall_1: float
    recall_5: float
    mrr: float
    seconds: list[float]


def measure(sides: Sequence[Ask], right: Sequence[str]) -> list[Figures]:
    """Ask every question of every side, the sides in a random order."""
    chance = random.Random(0)
    seconds: list[list[float]] = [[] for _ in sides]
    places: list[list[int]] = [[] for _ in sides]
    for number in range(min(50, len(right))):
        for ask in sides:
            ask(number)
    for number, gold in enumerate(right):
        for side in chance.sample(range(len(sides)), len(sides)):
            started = time.perf_counter()
            found = sides[side](number)
            seconds[side].append(time.perf_counter() - started)
            places[side].append(found.index(gold) + 1 if gold in found else 0)
    return [
        Figures(
            sum(place == 1 for place in each) / len(each),
            sum(0 < place <= 5 for place in each) / len(each),
            sum(1 / place for place in each if place) / len(each),
            spent,
        )
        for each, spent in zip(places, seconds, strict=True)
    ]


def show(what: str, names: Sequence[str], figures: Sequence[Figures]) -> None:
    """A row for each side; ratios are to the last one, the plain library."""
    plain = figures[-1]
    for name, one in zip(names, figures, strict=True):
        p50, p99 = np.percentile(one.seconds, [50, 99]) * 1000
        ratios = p50 / (np.median(plain.seconds) * 1000), sum(one.seconds) / sum(plain.seconds)
        scores = f"{one.recall_1:.4f} | {one.recall_5:.4f} | {one.mrr:.4f}"
        times = f"{p50:.3f} | {p99:.3f} | {sum(one.seconds):.2f} | {ratios[0]:.2f} | {ratios[1]:.2f}"
        print(f"| {what} | {name} | {scores} | {times} |", flush=True)


class Sides:
    """Ours and the plain libraries, over one data set."""

    def __init__(self, index: Index, asked: Sequence[str], encoder: LocalEmbedder) -> None:
        self.index, self.asked, self.encoder = index, asked, encoder
        self.queries = encoder.embed(asked)
        kept = list(index.passages())
        self.passages = [document for document, _ in kept]
        self.records = [
            {"id": d.id, "content": d.content, "metadata": dict(d.metadata)} for d in self.passages
        ]
        self.vectors = np.ascontiguousarray([vector for _, vector in kept])
        self.library = VectorLibrary(ndim=self.vectors.shape[1], metric="ip", dtype="f32")
        self.library.add(np.arange(len(kept)), self.vectors)
        self.plain = bm25s.BM25()
        self.plain.index(
            [stems(terms(f"{d.metadata.get('title', '')}\n{d.content}")) for d in self.passages],
            show_progress=False,
        )

    def ours(self, number: int, *, mode: IndexMode, embedded: bool = False) -> list[str]:
        """By our index."""
        query = self.asked[number]
        vector = self.encoder.embed([query])[0] if embedded else self.queries[number]
        found = self.index.search(query, vector, mode=mode, top_k=_DEPTH)
        return [str(document.metadata["document"]) for document in found]

    def _named(self, rows: Any, scores: Any) -> list[str]:
        found = [
            {**self.records[row], "score": score}
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        ]
        return [str(one["metadata"]["document"]) for one in found]

    def by_words(self, number: int) -> list[str]:
        """By bm25s."""
        words = stems(query_terms(self.asked[number]))
        rows, scores = self.plain.retrieve([words], k=_DEPTH, show_progress=False)
        return self._named(rows[0], scores[0])

    def by_vector(self, number: int, *, embedded: bool = False) -> list[str]:
        """By usearch, every vector compared."""
        vector = self.encoder.embed([self.asked[number]])[0] if embedded else self.queries[number]
        found = self.library.search(vector, _DEPTH, exact=True, threads=1)
        return self._named(found.keys, 1 - found.distances)

    def by_product(self, number: int) -> list[str]:
        """By numpy."""
        cosines = self.vectors @ self.queries[number]
        nearest = np.argpartition(-cosines, _DEPTH)[:_DEPTH]
        rows = nearest[np.argsort(-cosines[nearest])]
        return self._named(rows, cosines[rows])


async def _main(data: Path) -> None:
    encoder = local_embedder()
    print("| | | recall@1 | recall@5 | MRR@10 | p50 ms | p99 ms | total s | p50 ratio | total ratio |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name in ("xquad-en", "jsquad"):
        questions = rows_of(data / name / "questions.jsonl")
        right = [row["passage_id"] for row in questions]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.index"
            source = str(data / name / "passages.jsonl")
            await build([source], path, embedder=encoder, size=100_000, overlap=0)
            index = Index(path)
            sides = Sides(index, [row["question"] for row in questions], encoder)
            by_vector = partial(sides.ours, mode="vector")
            pairs: list[tuple[str, str, list[Ask]]] = [
                ("keyword", "bm25s", [partial(sides.ours, mode="keyword"), sides.by_words]),
                ("vector", "usearch", [by_vector, sides.by_vector]),
                ("vector", "numpy", [by_vector, sides.by_product]),
                (
                    "vector, embedded",
                    "usearch",
                    [partial(by_vector, embedded=True), partial(sides.by_vector, embedded=True)],
                ),
            ]
            for what, plain, pair in pairs:
                show(f"{name}, {what}", ["ours", plain], measure(pair, right))
            hybrid = [partial(sides.ours, mode="hybrid"), partial(sides.ours, mode="rrf")]
            for mode, figures in zip(("hybrid", "rrf"), measure(hybrid, right), strict=True):
                show(f"{name}, {mode}", ["ours"], [figures])
            index.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure an index beside plain libraries.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    asyncio.run(_main(parser.parse_args().data))
