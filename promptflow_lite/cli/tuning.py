"""Which settings find best? One row of scores for each way to build and to search an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from promptflow_lite.cli.console import neutral, say

if TYPE_CHECKING:
    from promptflow_lite.connections.base import ConnectionProvider
    from promptflow_lite.retrieval.evaluate import Question
    from promptflow_lite.retrieval.index import IndexMode, Info

__all__ = ["sweep"]


async def sweep(
    source: str,
    questions: Sequence[Question],
    *,
    modes: Sequence[IndexMode],
    cutoffs: Sequence[int],
    sizes: Sequence[int],
    embeddings: Sequence[str],
    connections: ConnectionProvider,
    progress: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    """A row for each chunk size, embedding and mode.

    Args:
        source: an index, or what to build one of.
        questions: with their gold passages.
        modes: how to search.
        cutoffs: where to take recall.
        sizes: chunk sizes to build with; empty: the index's, or the default.
        embeddings: `local`, a connection, or `connection/model`, likewise.
        connections: where they are found.
        progress: told the stage, how much of it is done, and of how much.
    """
    from promptflow_lite.retrieval.build import build, sources_of
    from promptflow_lite.retrieval.chunk import OVERLAP, SIZE
    from promptflow_lite.retrieval.evaluate import evaluate
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.retrieval.retriever import IndexRetriever
    from promptflow_lite.retrieval.tokenize import kind_of
    from promptflow_lite.tools.search import embedder_of

    there = _info(Path(source))
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="pf-index-") as folder, ExitStack() as opened:
        unless_told: tuple[None] = (None,)
        ways = product([*sizes] or unless_told, [*embeddings] or unless_told)
        for number, (size, embedding) in enumerate(ways):
            name, _, model = (embedding or "local").partition("/")
            if embedding is None and there is not None:
                name, model = there.embedding, there.model
            embedder = embedder_of(name, model, connections)
            path = Path(source)
            if there is None or size is not None or embedding is not None:
                size = size or (there.size if there else SIZE)
                path = Path(folder) / f"{number}.index"
                await build(
                    sources_of(there, Path(source)) if there else [source],
                    path,
                    embedder=embedder,
                    size=size,
                    overlap=min(there.overlap if there else OVERLAP, size // 2),
                    text_column=there.text_column if there else "",
                    tokenizer=kind_of(there.tokenizer) if there else "ngrams",
                    progress=progress,
                )
            index = Index(path)
            retriever = IndexRetriever(index, embedder)
            opened.callback(retriever.close)
            _say_missing(index, questions)
            for mode in modes:
                scores = await evaluate(
                    retriever,
                    questions,
                    mode=mode,
                    cutoffs=cutoffs,
                    progress=lambda done: progress("ask", done, len(questions)),
                )
                rows.append(
                    {
                        "mode": mode,
                        "chunk_size": index.info.size,
                        "overlap": index.info.overlap,
                        "embedding": name if not model else f"{name}/{model}",
                        "questions": scores.questions,
                        **{f"recall@{k}": value for k, value in scores.recall.items()},
                        "mrr": scores.mrr,
                        "ndcg@10": scores.ndcg,
                        "p50_ms": scores.p50_ms,
                    }
                )
    return rows


def _info(path: Path) -> Info | None:
    """What the index at `path` says about itself; None if it is a source."""
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.retrieval.read import SUFFIXES

    if not path.is_file() or path.suffix.lower() in SUFFIXES:
        return None
    index = Index(path)
    index.close()
    return index.info


def _say_missing(index: Any, questions: Sequence[Question]) -> None:
    missing = sorted(index.missing(name for question in questions for name in question.gold))
    if missing:
        some = ", ".join(map(repr, missing[:3])) + (" ..." if len(missing) > 3 else "")
        say(neutral(f"not in the index, so never found: {len(missing)} gold passages ({some})"))
