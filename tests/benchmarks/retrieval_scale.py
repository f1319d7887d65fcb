"""How does an index of many passages build and search? Rate, size, times and memory.

    python tests/benchmarks/retrieval_scale.py --data ../shared/data --passages 100000

The passages are three sentences of XQuAD-en or JSQuAD each, drawn by chance; the queries are these sets'
questions. With `--encoder random` vectors are drawn by chance too: all that is measured is not the
encoder's. With `--keep FOLDER` passages and index stay there, so that a second run goes on where one was cut
short, or only searches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from promptflow_lite.retrieval.build import build, update
from promptflow_lite.retrieval.embed import Embedder, local_embedder, unit_vectors
from promptflow_lite.retrieval.index import Index, IndexMode
from promptflow_lite.retrieval.retriever import IndexRetriever

_MODES: tuple[IndexMode, ...] = ("keyword", "vector", "hybrid", "rrf")


class RandomEmbedder:
    """A vector drawn by chance for each text, the same at every call."""

    name = "random"
    dimension = 512

    def embed(self, texts: Sequence[str]) -> Any:
        rows = [
            np.random.default_rng(zlib.crc32(text.encode())).standard_normal(512, dtype=np.float32)
            for text in texts
        ]
        return unit_vectors(np.array(rows))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_passages(data: Path, target: Path, count: int, files: int) -> None:
    """`count` passages in `files` files of JSON Lines."""
    chance = random.Random(0)
    sets = [
        [
            sentence
            for row in rows_of(data / name / "passages.jsonl")
            for sentence in re.findall(r".+?(?:[.。] ?|$)", row.get("content") or row["text"])
        ]
        for name in ("xquad-en", "jsquad")
    ]
    for number in range(files):
        with (target / f"part{number}.jsonl").open("w", encoding="utf-8") as file:
            for i in range(number, count, files):
                text = "".join(chance.sample(sets[i % 2], 3))
                file.write(json.dumps({"id": f"p{i}", "content": text}) + "\n")


def memory_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def _main(data: Path, passages: int, queries: int, encoder: Embedder, keep: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        source, path = folder / "parts", folder / "many.index"
        if not source.exists():
            source.mkdir(parents=True)
            write_passages(data, source, passages, files=100)
        built = await build([str(source)], path, embedder=encoder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(
            f"{built.info.chunks} chunks in {built.seconds:.1f} s "
            f"({built.info.chunks / built.seconds:.0f} a second), "
            f"{path.stat().st_size / 1e6:.0f} MB on disk, peak of memory {peak:.0f} MB",
            flush=True,
        )
        print(f"update of nothing: {(await update(path, embedder=encoder)).seconds:.2f} s")
        part = source / "part0.jsonl"
        part.write_text(part.read_text(encoding="utf-8").replace(".", " indeed."), encoding="utf-8")
        again = await update(path, embedder=encoder)
        print(
            f"update of one file of 100: {again.seconds:.1f} s ({again.embedded} chunks embedded)", flush=True
        )
        asked = [
            row["question"]
            for name in ("xquad-en", "jsquad")
            for row in rows_of(data / name / "questions.jsonl")
        ]
        asked = random.Random(1).sample(asked, queries)
        before = memory_mb()
        retriever = IndexRetriever(Index(path), encoder)
        for mode in _MODES:
            first = time.perf_counter()
            await retriever.retrieve(asked[0], mode=mode)
            first = time.perf_counter() - first
            seconds = []
            for query in asked:
                started = time.perf_counter()
                await retriever.retrieve(query, top_k=5, mode=mode)
                seconds.append(time.perf_counter() - started)
            p50, p99 = np.percentile(seconds, [50, 99]) * 1000
            print(f"{mode}: first {first * 1000:.0f} ms, p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
        print(f"an open index holds {memory_mb() - before:.0f} MB")
        retriever.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure an index of many passages.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--encoder", choices=("local", "random"), default="random")
    parser.add_argument("--keep", type=Path, help="a folder for passages and index, kept for another run")
    given = parser.parse_args()
    chosen = local_embedder() if given.encoder == "local" else RandomEmbedder()
    asyncio.run(_main(given.data, given.passages, given.queries, chosen, given.keep))
