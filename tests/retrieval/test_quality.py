"""Floors under the figures of docs/benchmarks/retrieval.md, on a part of the data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import LocalEmbedder
from promptflow_lite.retrieval.index import Index, IndexMode
from promptflow_lite.retrieval.retriever import IndexRetriever


async def recall_at_5(
    data: Path, output: Path, encoder: LocalEmbedder, mode: IndexMode, *, every: int
) -> float:
    await build([str(data / "passages.jsonl")], output, embedder=encoder)
    retriever = IndexRetriever(Index(output), encoder)
    lines = (data / "questions.jsonl").read_text(encoding="utf-8").splitlines()[::every]
    found = 0
    for row in map(json.loads, lines):
        documents = await retriever.retrieve(row["question"], top_k=5, mode=mode)
        found += row["passage_id"] in [document.metadata["document"] for document in documents]
    retriever.close()
    return found / len(lines)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "mode", "floor"),
    [
        ("xquad-en", "keyword", 0.96),
        ("xquad-en", "vector", 0.94),
        ("xquad-en", "hybrid", 0.97),
        ("jsquad", "keyword", 0.95),
        ("jsquad", "vector", 0.79),
        ("jsquad", "hybrid", 0.95),
    ],
)
async def test_the_right_passage_is_among_the_first_five(
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    encoder: LocalEmbedder,
    name: str,
    mode: IndexMode,
    floor: float,
) -> None:
    output = (
        tmp_path_factory.getbasetemp() / f"{name}.index"
    )  # kept between the modes: built once, then reused
    assert await recall_at_5(shared_data / name, output, encoder, mode, every=10) >= floor
