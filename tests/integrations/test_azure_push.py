"""Indexes pushed to Azure AI Search, over the real client, against a contract stub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from promptflow_lite.connections.kinds import CognitiveSearchConnection, OpenAIConnection
from promptflow_lite.errors import InputError, NodeError
from promptflow_lite.integrations import azure_push
from promptflow_lite.integrations.azure_search import AzureSearchRetriever
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.embed import unit_vectors
from promptflow_lite.retrieval.index import Index
from promptflow_lite.tools.search import Pushed, target_of
from tests.commands import pf
from tests.integrations.search_service import KEY, Fault, SearchService

if TYPE_CHECKING:
    from promptflow_lite.retrieval.embed import Vectors

ROWS = """\
{"id": "reset #1", "text": "Hold the button for ten seconds.", "title": "Reset", "product": "lamp", "page": 3}
{"id": "お手入れ", "text": "電源を切ってから、やわらかい布で拭きます。", "product": "lamp", "page": 4.5}
{"id": "scale", "text": "Descale the kettle.", "product": "kettle", "tags": ["a"], "content-type": "x"}
"""


class Letters:
    """An embedder that counts letters."""

    name = "letters"
    dimension = 16

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [[1 + sum(ord(c) % 16 == n for c in text) for n in range(16)] for text in texts]
        return unit_vectors(np.asarray(rows, dtype=np.float32))


@pytest.fixture
def service() -> Iterator[SearchService]:
    with SearchService() as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_push, "_FIRST_WAIT_S", 0.001)


async def built(folder: Path, rows: str = ROWS) -> Index:
    (folder / "manual.jsonl").write_text(rows, encoding="utf-8")
    await build([str(folder / "manual.jsonl")], folder / "manual.index", embedder=Letters())
    return Index(folder / "manual.index")


async def pushed(index: Index, service: SearchService, **how: Any) -> Pushed:
    connection = CognitiveSearchConnection("search", api_base=service.url, api_key=how.pop("key", KEY))
    push = target_of(connection)
    try:
        return await push(
            index,
            connection,
            "manual",
            **{"analyzer": "en.microsoft", "progress": lambda *_: None, **how},
        )
    finally:
        index.close()


async def test_what_is_pushed_is_found_as_the_index_finds_it(tmp_path: Path, service: SearchService) -> None:
    index = await built(tmp_path)
    query = "wipe the kettle with a cloth"
    [vector] = Letters().embed([query])
    local = index.search(query, vector, top_k=3, mode="vector")
    assert await pushed(index, service) == Pushed(3, 0, {})
    retriever = AzureSearchRetriever(
        CognitiveSearchConnection("search", api_base=service.url, api_key=KEY),
        "manual",
        fields={"id": "id", "content": "content", "metadata": "metadata"},
        vector_field="vector",
        embedder=Letters(),
    )
    remote = await retriever.retrieve(query, top_k=3, mode="vector")
    await retriever.close()
    assert [(one.id, one.content, one.metadata) for one in remote] == [
        (one.id, one.content, one.metadata) for one in local
    ]
    assert [one.score for one in remote] == pytest.approx([one.score for one in local])


async def test_the_index_is_created_to_match(tmp_path: Path, service: SearchService) -> None:
    await pushed(await built(tmp_path), service, analyzer="ja.microsoft")
    fields = {field["name"]: field for field in service.schemas["manual"]["fields"]}
    assert {name: field["type"] for name, field in fields.items()} == {
        "key": "Edm.String",
        "id": "Edm.String",
        "content": "Edm.String",
        "metadata": "Edm.String",
        "pushed": "Edm.String",
        "vector": "Collection(Edm.Single)",
        "title": "Edm.String",
        "source": "Edm.String",
        "heading": "Edm.String",
        "document": "Edm.String",
        "product": "Edm.String",
        "page": "Edm.Double",
        "line": "Edm.Int64",
        "start": "Edm.Int64",
        "end": "Edm.Int64",
    }
    assert fields["vector"]["dimensions"] == 16
    assert {name for name, field in fields.items() if field.get("analyzer") == "ja.microsoft"} == {
        "content",
        "title",
        "heading",
    }
    assert fields["product"]["filterable"]
    profile = service.schemas["manual"]["vectorSearch"]["algorithms"][0]
    assert profile["hnswParameters"]["metric"] == "cosine"
    (semantic,) = service.schemas["manual"]["semantic"]["configurations"]
    assert semantic["name"] == "default"
    assert semantic["prioritizedFields"] == {
        "titleField": {"fieldName": "title"},
        "prioritizedContentFields": [{"fieldName": "content"}],
        "prioritizedKeywordsFields": [{"fieldName": "heading"}],
    }


async def test_a_second_push_replaces_what_changed_and_removes_what_is_gone(
    tmp_path: Path, service: SearchService
) -> None:
    await pushed(await built(tmp_path), service)
    rows = ROWS.splitlines(keepends=True)
    changed = rows[0].replace("ten", "nine") + rows[1]
    assert await pushed(await built(tmp_path, changed), service) == Pushed(2, 1, {})
    contents = {row["id"]: row["content"] for row in service.indexes["manual"].values()}
    assert contents == {
        "reset #1": "Hold the button for nine seconds.",
        "お手入れ": "電源を切ってから、やわらかい布で拭きます。",
    }


async def test_what_searches_do_not_show_yet_is_not_removed(tmp_path: Path, service: SearchService) -> None:
    await pushed(await built(tmp_path), service)
    service.shown = {"manual": dict(service.indexes["manual"])}
    assert await pushed(await built(tmp_path), service) == Pushed(3, 0, {})
    assert len(service.indexes["manual"]) == 3


async def test_many_passages_go_in_batches(
    tmp_path: Path, service: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_push, "_BATCH", 4)
    seen: list[tuple[int, int]] = []
    rows = "".join(f'{{"id": "{n}", "text": "passage {n}"}}\n' for n in range(10))
    done = await pushed(await built(tmp_path, rows), service, progress=lambda _, *at: seen.append(at))
    assert (done, seen) == (Pushed(10, 0, {}), [(4, 10), (8, 10), (10, 10)])
    assert len(service.indexes["manual"]) == 10


async def test_a_document_that_is_refused_for_now_is_tried_again(tmp_path: Path) -> None:
    with SearchService(document_faults={"scale": [503, 429], "reset #1": [400]}) as service:
        done = await pushed(await built(tmp_path), service)
        assert done == Pushed(2, 0, {"reset #1": "400 said no"})
        uploads = [request for request in service.requests if "search.index" in request["path"]]
        assert [len(request["value"]) for request in uploads] == [3, 1, 1]


async def test_a_document_that_stays_refused_is_told_and_its_older_form_stays(tmp_path: Path) -> None:
    with SearchService(document_faults={"scale": []}) as service:
        await pushed(await built(tmp_path), service)
        service.document_faults["scale"].extend([503] * 9)
        done = await pushed(await built(tmp_path), service)
        assert done == Pushed(2, 0, {"scale": "503 said no"})
        assert len(service.indexes["manual"]) == 3


async def test_a_busy_service_is_waited_for(tmp_path: Path, service: SearchService) -> None:
    service.faults.extend([Fault(503, {"Retry-After": "0"}), Fault(429, {"Retry-After": "0"})])
    assert (await pushed(await built(tmp_path), service)).done == 3


async def test_a_wrong_key_and_an_index_of_another_kind_are_refused(
    tmp_path: Path, service: SearchService
) -> None:
    with pytest.raises(NodeError) as raised:
        await pushed(await built(tmp_path), service, key="wrong-secret")
    assert raised.value.code == "auth" and "wrong-secret" not in str(raised.value)
    await pushed(await built(tmp_path), service)
    with pytest.raises(NodeError, match="Existing field 'content' cannot be changed"):
        await pushed(await built(tmp_path), service, analyzer="ja.microsoft")


def test_other_connections_take_no_index() -> None:
    with pytest.raises(InputError, match="expected one of type cognitive_search"):
        target_of(OpenAIConnection("mine", api_key="k"))


def test_keys_have_the_letters_and_the_length_that_a_key_may_have() -> None:
    names = ["a b/c.md:1", "お手入れ:2", "x" * 5000, "x" * 4999 + "y"]
    keys = [azure_push._key(name) for name in names]
    assert len(set(keys)) == 4
    assert all(len(key) <= 1024 and key.replace("-", "").replace("_", "").isalnum() for key in keys)


@pytest.mark.parametrize(("faults", "code"), [({}, 0), ({"scale": [400]}, 3)])
async def test_the_command_pushes(
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    faults: dict[str, list[int]],
    code: int,
) -> None:
    import asyncio

    (await built(tmp_path)).close()
    with SearchService(document_faults=faults) as service:
        folder = home / "connections"
        folder.mkdir()
        (folder / "my_search.yaml").write_text(
            f"name: my_search\ntype: cognitive_search\napi_base: {service.url}\napi_key: {KEY}\n"
        )
        args = ["index", "push", str(tmp_path / "manual.index"), "--to", "my_search", "--index", "manual"]
        assert await asyncio.to_thread(pf, *args) == code
        assert len(service.indexes["manual"]) == 3 - bool(code)
    said = capsys.readouterr().err
    assert ("scale: refused: 400 said no" in said) is bool(code)
    assert "my_search/manual: " in said
