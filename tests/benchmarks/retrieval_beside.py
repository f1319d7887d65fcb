"""What does an index find, and cost, beside a plain BM25 library and a plain vector search?

    python tests/benchmarks/retrieval_beside.py --data ../shared/data

The same passages and questions, uncut: bm25s over the same terms, and numpy over the same vectors. Times are
of the search alone: the query's vector is there, for bm25s its terms too. Ours reads the passages besides.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import bm25s
import numpy as np

from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.tokenize import query_terms, terms

_DEPTH = 10


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measure(name: str, ask: Callable[[int], Sequence[str]], right: Sequence[str], prepare_s: float) -> None:
    """Ask every question, and print a row."""
    seconds, places = [], []
    for number, gold in enumerate(right):
        started = time.perf_counter()
        found = list(ask(number))
        seconds.append(time.perf_counter() - started)
        places.append(found.index(gold) + 1 if gold in found else 0)
    at_1, at_5 = (sum(0 < place <= k for place in places) / len(places) for k in (1, 5))
    mrr = sum(1 / place for place in places if place) / len(places)
    figures = f"{at_1:.4f} | {at_5:.4f} | {mrr:.4f} | {median(seconds) * 1000:.2f} | {prepare_s:.1f}"
    print(f"| {name} | {figures} |", flush=True)


async def _main(data: Path) -> None:
    encoder = local_embedder()
    print("| search | recall@1 | recall@5 | MRR@10 | p50 ms | build s |\n|---|--:|--:|--:|--:|--:|")
    for name in ("xquad-en", "jsquad"):
        passages, questions = (rows_of(data / name / f"{kind}.jsonl") for kind in ("passages", "questions"))
        ids = [row["id"] for row in passages]
        texts = [f"{row.get('title', '')}\n{row.get('content') or row.get('text')}" for row in passages]
        right = [row["passage_id"] for row in questions]
        asked = [row["question"] for row in questions]
        queries = encoder.embed(asked)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.index"
            built = await build(
                [str(data / name / "passages.jsonl")], path, embedder=encoder, size=100_000, overlap=0
            )
            index = Index(path)

            def ours(
                number: int, mode: Any, index: Index = index, asked: Any = asked, queries: Any = queries
            ) -> list[str]:
                found = index.search(asked[number], queries[number], mode=mode, top_k=_DEPTH)
                return [str(document.metadata["document"]) for document in found]

            measure(f"{name}: ours, keyword", lambda n: ours(n, "keyword"), right, built.seconds)
            started = time.perf_counter()
            plain = bm25s.BM25()
            plain.index([terms(text) for text in texts], show_progress=False)
            words = [query_terms(text) for text in asked]

            def by_words(number: int, plain: Any = plain, words: Any = words, ids: Any = ids) -> list[str]:
                found, _ = plain.retrieve([words[number]], k=_DEPTH, show_progress=False)
                return [ids[place] for place in found[0]]

            measure(f"{name}: bm25s", by_words, right, time.perf_counter() - started)
            measure(f"{name}: ours, vector", lambda n: ours(n, "vector"), right, built.seconds)
            started = time.perf_counter()
            vectors = encoder.embed(texts)
            spent = time.perf_counter() - started

            def by_vector(
                number: int, vectors: Any = vectors, queries: Any = queries, ids: Any = ids
            ) -> list[str]:
                cosines = np.einsum("ij,j->i", vectors, queries[number])
                nearest = np.argpartition(-cosines, _DEPTH)[:_DEPTH]
                return [ids[place] for place in nearest[np.argsort(-cosines[nearest])]]

            measure(f"{name}: numpy", by_vector, right, spent)
            measure(f"{name}: ours, hybrid", lambda n: ours(n, "hybrid"), right, built.seconds)
            index.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure an index beside plain libraries.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    asyncio.run(_main(parser.parse_args().data))
