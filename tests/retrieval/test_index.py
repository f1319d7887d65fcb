from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.errors import InputError
from promptflow_lite.retrieval import passages as passages_module
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import LocalEmbedder
from promptflow_lite.retrieval.index import Index
from promptflow_lite.retrieval.retriever import IndexRetriever

ROWS = """\
{"id": "a", "content": "Its button resets the lamp.", "product": "lamp", "year": 2024, "sold": true}
{"id": "b", "content": "Vinegar descaled the kettle.", "product": "kettle", "year": 2023, "note": null}
{"id": "c", "content": "ランプは布で拭きます。", "product": "lamp", "year": 2023}
"""


@pytest.fixture
async def index(tmp_path: Path, encoder: LocalEmbedder) -> AsyncIterator[Index]:
    (tmp_path / "rows.jsonl").write_text(ROWS, encoding="utf-8")
    await build([str(tmp_path / "rows.jsonl")], tmp_path / "rows.index", embedder=encoder)
    opened = Index(tmp_path / "rows.index")
    yield opened
    opened.close()


def ids(index: Index, query: str, **how: Any) -> list[str]:
    return [document.id for document in index.search(query, **{"mode": "keyword", **how})]


def test_keyword_search_finds_words_in_other_forms(index: Index) -> None:
    assert ids(index, "descaling kettles") == ["b"]
    assert ids(index, "ﾗﾝﾌﾟ") == ["c"]


def test_vector_search_finds_what_says_the_same(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["How do I clean a light with a cloth?"])[0]
    assert ids(index, "", vector=vector, mode="vector", top_k=1) == ["c"]


def test_hybrid_search_finds_by_either(index: Index, encoder: LocalEmbedder) -> None:
    for query, first in (("vinegar", "b"), ("明かりの掃除", "c")):
        assert ids(index, query, vector=encoder.embed([query])[0], mode="hybrid")[0] == first


def test_a_query_without_a_word_finds_nothing_by_keyword(index: Index) -> None:
    assert ids(index, "?! ...") == []


@pytest.mark.parametrize(
    "query", ['"', "a OR b*", "NEAR(lamp kettle)", "content:lamp", "'; drop table chunks; --", "\x00"]
)
def test_the_match_language_is_not_reachable(index: Index, query: str) -> None:
    index.search(query, mode="keyword")
    assert ids(index, "lamp") == ["a"]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"product": "lamp"}, {"a", "c"}),
        ({"product": "lamp", "year": 2023}, {"c"}),
        ({"sold": True}, {"a"}),
        ({"note": None}, {"b"}),
        ({"product": "x' or '1'='1"}, set()),
        ({"product') or 1=1 --": "lamp"}, set()),
        ({}, {"a", "b", "c"}),
        ({"product": ["kettle", "fan"]}, {"b"}),
        ({"product": ["lamp", "kettle"], "year": [2023, None]}, {"b", "c"}),
        ({"product": []}, set()),
        ({"year": {"min": 2024}}, {"a"}),
        ({"year": {"max": 2023.5}}, {"b", "c"}),
        ({"year": {"min": 2023, "max": 2023}, "product": "lamp"}, {"c"}),
        ({"year": {"min": "2023"}}, set()),
        ({"product": {"min": "l"}}, {"a", "c"}),
        ({"sold": {"min": 0}}, set()),
    ],
)
def test_a_filter_leaves_what_equals_it(
    index: Index, encoder: LocalEmbedder, filter: dict[str, Any], found: set[str]
) -> None:
    vector = encoder.embed(["anything"])[0]
    assert set(ids(index, "", vector=vector, mode="vector", filter=filter)) == found
    assert set(ids(index, "anything", vector=vector, mode="hybrid", filter=filter)) == found
    words = "lamp kettle 拭きます"
    assert set(ids(index, words, filter=filter)) == found


@pytest.mark.parametrize(
    "filter",
    [
        {"product": [["lamp"]]},
        {"product": {"$ne": 1}},
        {"product": {}},
        {"product": {"min": 1, "max": "2"}},
        {"product": {"min": None}},
        {"product": {"min": True}},
        {"year": list(range(1001))},
        {3: "lamp"},
        ["product"],
        "product",
    ],
)
def test_a_filter_of_another_shape_is_refused(index: Index, filter: Any) -> None:
    with pytest.raises(InputError) as caught:
        index.search("lamp", mode="keyword", filter=filter)
    assert caught.value.code == "bad-filter"


def test_top_k_limits_and_may_exceed_what_is_there(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["lamp"])[0]
    assert len(ids(index, "lamp", vector=vector, mode="hybrid", top_k=1)) == 1
    assert len(ids(index, "lamp", vector=vector, mode="hybrid", top_k=99)) == 3


def test_a_minimum_score_leaves_out_what_is_worse(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["lamp button"])[0]
    for mode in ("vector", "hybrid", "rrf"):
        every = index.search("lamp button", vector, mode=mode)
        kept = index.search("lamp button", vector, mode=mode, min_score=every[1].score)
        assert kept == every[:2] != every
    assert index.search("lamp button", mode="keyword", min_score=1000) == []


def test_rrf_takes_the_ranks_of_words_and_vectors(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["vinegar"])[0]
    by_vector = ids(index, "", vector=vector, mode="vector", top_k=3)
    found = index.search("vinegar", vector, mode="rrf")
    expected = {name: 1 / (61 + rank) for rank, name in enumerate(by_vector)}
    expected["b"] += 1 / 61  # the only one that keyword search finds
    assert {d.id: d.score for d in found} == pytest.approx(expected)


async def test_diversity_prefers_what_is_not_there_yet(tmp_path: Path, encoder: LocalEmbedder) -> None:
    texts = ("Reset the lamp by its button.", "Reset the lamp by the button.", "The lamp is made of glass.")
    rows = [json.dumps({"id": str(number), "content": text}) for number, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    await build([str(tmp_path / "rows.jsonl")], tmp_path / "rows.index", embedder=encoder)
    index = Index(tmp_path / "rows.index")
    query = "reset the lamp by its button"
    vector = encoder.embed([query])[0]
    for mode in ("keyword", "vector", "hybrid", "rrf"):
        how = {"vector": vector, "mode": mode, "top_k": 2}
        assert ids(index, query, **how) == ["0", "1"]
        assert ids(index, query, **how, diversity=0.7) == ["0", "2"]
    index.close()


def test_scores_fall_and_repeat(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["lamp button"])[0]
    first = index.search("lamp button", vector, mode="hybrid")
    assert [d.score for d in first] == sorted((d.score for d in first), reverse=True)
    assert index.search("lamp button", vector, mode="hybrid") == first


def test_a_vector_of_another_dimension_is_refused(index: Index) -> None:
    import numpy as np

    with pytest.raises(InputError) as caught:
        index.search("lamp", np.zeros(3, dtype=np.float32), mode="vector")
    assert caught.value.code == "index-embedder"


def test_threads_may_search_at_once(index: Index, encoder: LocalEmbedder) -> None:
    vector = encoder.embed(["lamp"])[0]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: index.search("lamp", vector), range(64)))
    assert all(answer == found[0] for answer in found)


def test_what_is_forgotten_is_read_again(
    index: Index, encoder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = index.search("lamp", encoder.embed(["lamp"])[0], top_k=3)
    monkeypatch.setattr(passages_module, "_REMEMBERED_PASSAGES", 2)
    monkeypatch.setattr(passages_module, "_REMEMBERED_FILTERS", 1)
    queries = ["lamp", "kettle", "拭きます"]
    vectors = [encoder.embed([query])[0] for query in queries]
    fresh = Index(index.path)

    def ask(number: int) -> list[str]:
        one = number % 3
        filter = [{}, {"product": "lamp"}, {"year": 2023}][number % 5 % 3]
        return ids(fresh, queries[one], vector=vectors[one], mode="hybrid", filter=filter)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(120)))
    assert found == [*found[:15], *found[:15], *found[:15], *found[:15]] * 2
    assert fresh.search("lamp", vectors[0], top_k=3) == every
    fresh.close()


def test_a_document_may_be_changed_without_changing_the_index(index: Index) -> None:
    (first,) = index.search("vinegar", mode="keyword")
    first.metadata.clear()  # type: ignore[attr-defined]  # whoever writes Python may
    (second,) = index.search("vinegar", mode="keyword")
    assert second.metadata["product"] == "kettle"


def test_a_file_that_is_not_there_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Index(tmp_path / "x.index")
    assert caught.value.code == "index-not-found"
    assert caught.value.hint is not None and "pf index build" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be read as one" * 20])
def test_a_file_that_is_no_index_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.index").write_bytes(content)
    with pytest.raises(InputError) as caught:
        Index(tmp_path / "x.index")
    assert caught.value.code == "index-unreadable"


def test_an_index_of_another_version_is_refused(index: Index) -> None:
    with sqlite3.connect(index.path) as connection:
        connection.execute("update meta set value = json_set(value, '$.format', 99)")
    connection.close()
    with pytest.raises(InputError, match="it has format 99; this version reads format 3") as caught:
        Index(index.path)
    source = index.path.parent / "rows.jsonl"
    assert caught.value.hint == f"build it with: pf index build {source} --output {index.path}"


def test_an_index_of_the_first_version_is_refused_as_such(index: Index) -> None:
    with sqlite3.connect(index.path) as connection:
        connection.execute("update meta set value = json_remove(value, '$.format', '$.text_column')")
    connection.close()
    with pytest.raises(InputError, match="format 1;"):
        Index(index.path)


async def test_a_retriever_searches_from_any_loop_at_once(index: Index, encoder: LocalEmbedder) -> None:
    retriever = IndexRetriever(index, encoder)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(retriever.retrieve("reset the lamp", top_k=1)) for _ in range(32)]
    assert {task.result()[0].id for task in tasks} == {"a"}
    found = await asyncio.to_thread(lambda: asyncio.run(retriever.retrieve("reset the lamp", top_k=1)))
    assert found == tasks[0].result()
    retriever.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"query": 3},
        {"top_k": 0},
        {"top_k": "3"},
        {"top_k": True},
        {"mode": "hibrid"},
        {"min_score": "1"},
        {"diversity": 1.5},
        {"diversity": -0.1},
        {"diversity": float("nan")},
    ],
)
async def test_a_retriever_refuses_what_it_cannot_be_asked(
    index: Index, encoder: LocalEmbedder, asked: dict[str, Any]
) -> None:
    retriever = IndexRetriever(index, encoder)
    with pytest.raises(InputError) as caught:
        await retriever.retrieve(**{"query": "lamp", **asked})
    assert caught.value.code == "bad-query"
    retriever.close()


def test_an_index_refuses_another_embedder(index: Index) -> None:
    class Other:
        name = "other"
        dimension = 512

        def embed(self, texts: Any) -> Any:
            raise AssertionError("never asked")

    with pytest.raises(InputError, match="other") as caught:
        IndexRetriever(index, Other())
    assert caught.value.code == "index-embedder"
