"""Which settings find best? One row of scores for each way to build and to search an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from promptflow_lite.cli.console import neutral, say

if TYPE_CHECKING:
    from promptflow_lite.connections.base import ConnectionProvider
    from promptflow_lite.evaluation.search import Question, Scores
    from promptflow_lite.retrieval.embed import Embedder, Roles, Vectors
    from promptflow_lite.retrieval.index import Index, IndexMode
    from promptflow_lite.retrieval.info import Info
    from promptflow_lite.retrieval.tokenize import Tokenizer

__all__ = ["Grid", "sweep"]


@dataclass(frozen=True, slots=True)
class Grid:
    """What is compared: every combination of these."""

    modes: Sequence[IndexMode]
    cutoffs: Sequence[int]
    """Where to take recall, hit and precision."""
    sizes: Sequence[int] = ()
    """Chunk sizes to build with; empty, here and below: the index's own, or the default."""
    overlaps: Sequence[int] = ()
    tokenizers: Sequence[Tokenizer] = ()
    embeddings: Sequence[str] = ()
    """`local`, a connection, or `connection/model`."""
    diversities: Sequence[float] = (0.0,)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to build an index."""

    size: int
    overlap: int
    tokenizer: Tokenizer
    embedding: str
    model: str

    @property
    def columns(self) -> dict[str, Any]:
        """As the table and its JSON show it."""
        return {
            "chunk_size": self.size,
            "overlap": self.overlap,
            "tokenizer": self.tokenizer,
            "embedding": f"{self.embedding}/{self.model}" if self.model else self.embedding,
        }


async def sweep(
    source: str,
    questions: Sequence[Question],
    grid: Grid,
    *,
    connections: ConnectionProvider,
    progress: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    """A row for each combination.

    An index that has to be built for it is thrown away after; questions are embedded once for each embedding.

    Args:
        source: an index, or what to build one of.
        questions: with their gold passages.
        grid: what to compare.
        connections: where those of the embeddings are found.
        progress: told the stage, how much of it is done, and of how much.
    """
    from promptflow_lite.evaluation.search import evaluate, vectors_of
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.retrieval.retriever import check_embedder
    from promptflow_lite.tools.embedders import embedder_of

    there = _info(Path(source))
    rows: list[dict[str, Any]] = []
    vectors: dict[tuple[str, str], Sequence[Vectors | None]] = {}
    needs_vectors = bool(set(grid.modes) - {"keyword"})
    with TemporaryDirectory(prefix="pf-index-") as folder:
        for number, way in enumerate(_ways(there, grid)):
            roles = _roles(there, way)
            embedder = embedder_of(way.embedding, way.model, connections, roles=roles)
            path = Path(source)
            if there is None or way != _way_of(there):
                path = Path(folder) / f"{number}.index"
                await _build(source, there, way, path, embedder, roles, progress)
            known = (way.embedding, way.model)
            if known not in vectors and not needs_vectors:
                vectors[known] = [None] * len(questions)
            elif known not in vectors:
                vectors[known] = await vectors_of(
                    questions, embedder, progress=lambda done: progress("question", done, len(questions))
                )
            with closing(Index(path)) as index:
                check_embedder(index, embedder)
                _say_missing(index, questions)
                for mode, diversity in product(grid.modes, grid.diversities):
                    scores = await evaluate(
                        index,
                        questions,
                        vectors[known],
                        mode=mode,
                        cutoffs=grid.cutoffs,
                        diversity=diversity,
                        progress=lambda done: progress("ask", done, len(questions)),
                    )
                    rows.append({"mode": mode, **way.columns, "diversity": diversity, **_columns(scores)})
    return rows


def _columns(scores: Scores) -> dict[str, Any]:
    """What a row says of the scores: means, and the intervals of the two that are compared most."""
    intervals = {
        f"{name}_interval": [round(end, 4) for end in scores.interval(name)[1:3]]
        for name in ("ndcg@10", "mrr@10")
    }
    return {"questions": scores.questions, **scores.means, **intervals, "p50_ms": scores.p50_ms}


def _ways(there: Info | None, grid: Grid) -> Iterator[_Way]:
    from promptflow_lite.errors import UserError

    own = _way_of(there)
    sizes = grid.sizes or [own.size]
    if grid.overlaps and max(grid.overlaps) >= min(sizes):
        raise UserError(
            f"--overlap: expected less than --chunk-size {min(sizes)}, got {max(grid.overlaps)}",
            code="bad-option",
        )
    embeddings = [name.partition("/")[::2] for name in grid.embeddings] or [(own.embedding, own.model)]
    overlaps: Sequence[int | None] = grid.overlaps or [None]
    for size, overlap, tokenizer, (embedding, model) in product(
        sizes, overlaps, grid.tokenizers or [own.tokenizer], embeddings
    ):
        # A sweep over sizes alone keeps the overlap, as far as it fits.
        room = min(own.overlap, size // 2) if size != own.size else own.overlap
        yield _Way(size, room if overlap is None else overlap, tokenizer, embedding, model)


def _way_of(info: Info | None) -> _Way:
    from promptflow_lite.retrieval.chunk import OVERLAP, SIZE
    from promptflow_lite.retrieval.tokenize import kind_of

    if info is None:
        return _Way(SIZE, OVERLAP, "ngrams", "local", "")
    return _Way(info.size, info.overlap, kind_of(info.tokenizer), info.embedding, info.model)


def _roles(there: Info | None, way: _Way) -> Roles:
    """The prefixes of the index that is there, for its own embedding."""
    from promptflow_lite.retrieval.embed import NO_ROLES

    own = there is not None and (way.embedding, way.model) == (there.embedding, there.model)
    return there.roles if there is not None and own else NO_ROLES


async def _build(
    source: str,
    there: Info | None,
    way: _Way,
    path: Path,
    embedder: Embedder,
    roles: Roles,
    progress: Callable[[str, int, int], None],
) -> None:
    from promptflow_lite.retrieval.build import build, sources_of

    await build(
        sources_of(there, Path(source)) if there else [source],
        path,
        embedder=embedder,
        embedding=way.embedding,
        model=way.model,
        roles=roles,
        size=way.size,
        overlap=way.overlap,
        text_column=there.text_column if there else "",
        tokenizer=way.tokenizer,
        progress=progress,
    )


def _info(path: Path) -> Info | None:
    """What the index at `path` says about itself; None if it is a source."""
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.retrieval.read import SUFFIXES

    if not path.is_file() or path.suffix.lower() in SUFFIXES:
        return None
    with closing(Index(path)) as index:
        return index.info


def _say_missing(index: Index, questions: Sequence[Question]) -> None:
    missing = sorted(index.missing(name for question in questions for name in question.gold))
    if missing:
        some = ", ".join(map(repr, missing[:3])) + (" ..." if len(missing) > 3 else "")
        say(neutral(f"not in the index, so never found: {len(missing)} gold passages ({some})"))
