"""How well, and how fast, does an index find? By keyword, vector and hybrid search.

    python tests/benchmarks/retrieval_quality.py --data ../shared/data

Prints a Markdown table. In XQuAD and JSQuAD the right answer is the passage that a question was written
for (another passage may answer it too: the figures are a lower bound). CLINC150 stands for questions in
other words than the documents': ten utterances of each of 150 intents are the documents, 1,500 others
the queries, and the intents found are ranked by their first document. The row `rrf` is what plain
reciprocal rank fusion (k = 60, equal weights) would make of the first 50 of keyword and vector search.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.chunk import OVERLAP, SIZE
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.retrieval.index import Index, IndexMode
from promptflow_lite.retrieval.retriever import IndexRetriever
from promptflow_lite.retrieval.tokenize import Tokenizer

_DEPTH = 50
_MODES: tuple[IndexMode, ...] = ("keyword", "vector", "hybrid")


@dataclass(frozen=True)
class Task:
    """Documents to index, and queries with what is right for them."""

    name: str
    documents: list[dict[str, Any]]
    queries: list[tuple[str, str]]
    answer_of: Callable[[Document], str] = lambda document: str(document.metadata["document"])


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def passages(data: Path, name: str) -> Task:
    """Questions over the passages that they were written for."""
    questions = rows_of(data / name / "questions.jsonl")
    return Task(
        name, rows_of(data / name / "passages.jsonl"), [(q["question"], q["passage_id"]) for q in questions]
    )


def intents(data: Path, *, shots: int = 10, queries: int = 1500) -> Task:
    """Utterances over others of the same intent; the same sample at every call."""
    chance = random.Random(0)
    by_intent: dict[str, list[str]] = {}
    for row in rows_of(data / "clinc150" / "train.jsonl"):
        by_intent.setdefault(row["intent"], []).append(row["utterance"])
    by_intent.pop("out_of_scope")
    documents = [
        {"id": f"{intent}-{number}", "content": text, "intent": intent}
        for intent, texts in by_intent.items()
        for number, text in enumerate(chance.sample(texts, shots))
    ]
    asked = [row for row in rows_of(data / "clinc150" / "test.jsonl") if row["intent"] in by_intent]
    sample = [(row["utterance"], row["intent"]) for row in chance.sample(asked, queries)]
    return Task("clinc150", documents, sample, lambda document: str(document.metadata["intent"]))


def scores(rankings: Sequence[Sequence[str]], right: Sequence[str]) -> tuple[float, float, float]:
    """recall@1, recall@5 and the mean reciprocal rank within the first 50."""
    ranks = [
        ranking.index(gold) + 1 if gold in ranking else 0
        for ranking, gold in zip(rankings, right, strict=True)
    ]
    count = len(ranks)
    return (
        sum(rank == 1 for rank in ranks) / count,
        sum(0 < rank <= 5 for rank in ranks) / count,
        sum(1 / rank for rank in ranks if rank) / count,
    )


def reciprocal(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Plain reciprocal rank fusion of two rankings."""
    total: dict[str, float] = {}
    for ranking in (first, second):
        for rank, item in enumerate(ranking, start=1):
            total[item] = total.get(item, 0.0) + 1 / (60 + rank)
    return sorted(total, key=lambda item: -total[item])


async def measure(task: Task, folder: Path, *, size: int, overlap: int, tokenizer: Tokenizer) -> None:
    """Build the task's index, search it in every mode, and print the rows of the table."""
    source, path = folder / f"{task.name}.jsonl", folder / f"{task.name}.index"
    source.write_text("\n".join(json.dumps(row) for row in task.documents), encoding="utf-8")
    built = await build(
        [str(source)], path, embedder=local_embedder(), size=size, overlap=overlap, tokenizer=tokenizer
    )
    retriever = IndexRetriever(Index(path), local_embedder())
    rankings: dict[str, list[list[str]]] = {}
    right = [gold for _, gold in task.queries]
    for mode in _MODES:
        seconds: list[float] = []
        rankings[mode] = []
        for query, _ in task.queries:
            started = time.perf_counter()
            found = await retriever.retrieve(query, top_k=_DEPTH, mode=mode)
            seconds.append(time.perf_counter() - started)
            rankings[mode].append(list(dict.fromkeys(map(task.answer_of, found))))
        print_row(task, mode, scores(rankings[mode], right), sorted(seconds))
    fused = [reciprocal(a, b) for a, b in zip(rankings["keyword"], rankings["vector"], strict=True)]
    print_row(task, "rrf", scores(fused, right), [])
    retriever.close()
    print(
        f"<!-- {task.name}: {built.info.documents} documents, {built.info.chunks} chunks, "
        f"{len(right)} queries, built in {built.seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB -->",
        flush=True,
    )


def print_row(task: Task, mode: str, found: tuple[float, float, float], seconds: Sequence[float]) -> None:
    """One row of the table."""
    times = (
        [f"{seconds[int(len(seconds) * share)] * 1000:.1f}" for share in (0.5, 0.99)] if seconds else ["", ""]
    )
    print("|", " | ".join([task.name, mode, *(f"{score:.4f}" for score in found), *times]), "|", flush=True)


async def _main(arguments: Mapping[str, Any]) -> None:
    data: Path = arguments["data"]
    local_embedder().embed(["the model is read once"])
    print("| set | search | recall@1 | recall@5 | MRR | p50 ms | p99 ms |")
    print("|---|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for task in (passages(data, "xquad-en"), passages(data, "jsquad"), intents(data)):
            await measure(
                task,
                Path(folder),
                size=arguments["chunk_size"],
                overlap=arguments["overlap"],
                tokenizer=arguments["tokenizer"],
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure an index.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--chunk-size", type=int, default=SIZE)
    parser.add_argument("--overlap", type=int, default=OVERLAP)
    parser.add_argument("--tokenizer", choices=get_args(Tokenizer), default="ngrams")
    asyncio.run(_main(vars(parser.parse_args())))
