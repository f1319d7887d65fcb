"""The retriever over the real azure-search-documents client, against a contract stub."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import CognitiveSearchConnection, OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.errors import FlowError, InputError, MissingExtra, NodeError
from promptflow_lite.integrations.azure_search import AzureSearchRetriever, open_search
from promptflow_lite.retrieval.document import Document
from promptflow_lite.tools.limit import Limit
from promptflow_lite.tools.pacing import Pacer
from promptflow_lite.tools.search import make
from tests.integrations.search_service import KEY, Fault, SearchService
from tests.model_server import ModelServer
from tests.tools.flows import codes, folder

DOCUMENTS = [
    {"id": "1", "content": "reset the lamp", "product": "lamp", "name": "Reset", "vector": [9.0, 0.5, 0.0]},
    {"id": "2", "content": "clean the lamp", "product": "lamp", "name": "Care", "vector": [1.0, 0.5, 0.0]},
    {
        "id": "3",
        "content": "descale the kettle",
        "product": "kettle",
        "name": "Scale",
        "vector": [2.0, 0.0, 0.0],
    },
]


@pytest.fixture
def service() -> Iterator[SearchService]:
    with SearchService(DOCUMENTS) as running:
        yield running


def connection(service: SearchService, key: str = KEY) -> CognitiveSearchConnection:
    return CognitiveSearchConnection("search", api_base=service.url, api_key=key)


def opened(service: SearchService, **settings: Any) -> AzureSearchRetriever:
    connections = settings.pop("connections", Given({}))
    return open_search(connection(service), Path(), connections, **{"index": "manual", **settings})


async def found(retriever: AzureSearchRetriever, query: str = "reset lamp", **how: Any) -> list[Document]:
    try:
        return await retriever.retrieve(query, **how)
    finally:
        await retriever.close()


async def failed(retriever: AzureSearchRetriever, **how: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await found(retriever, **how)
    return caught.value


async def test_keyword_search_gives_documents_with_the_other_fields_as_metadata(
    service: SearchService,
) -> None:
    documents = await found(
        opened(service, title_field="name", vector_field="vector"), mode="keyword", top_k=1
    )
    assert documents == [
        Document("reset the lamp", id="1", score=2.0, metadata={"product": "lamp", "title": "Reset"})
    ]
    (request,) = service.requests
    assert (request["search"], request["top"], "vectorQueries" in request) == ("reset lamp", 1, False)


async def test_fields_are_mapped_by_settings(service: SearchService) -> None:
    documents = await found(opened(service, content_field="name", id_field="product"), top_k=1)
    assert (documents[0].content, documents[0].id) == ("Reset", "lamp")


async def test_select_fetches_what_is_named_and_what_is_mapped(service: SearchService) -> None:
    documents = await found(opened(service, select=["product"]), top_k=1)
    assert documents[0].metadata == {"product": "lamp"}
    assert service.requests[0]["select"] == "id,content,product"


async def test_a_filter_is_passed_on(service: SearchService) -> None:
    documents = await found(opened(service), query="the", filter="product eq 'kettle'")
    assert [document.id for document in documents] == ["3"]


async def test_vectors_of_a_connection_are_sent(service: SearchService) -> None:
    with ModelServer() as model:
        connections = Given({"mine": OpenAIConnection("mine", api_key="k", base_url=model.base_url)})
        settings = {"vector_field": "vector", "embedding": "mine", "model": "embed-1"}
        documents = await found(opened(service, connections=connections, **settings), mode="vector", top_k=1)
    assert [document.id for document in documents] == ["1"]
    (query,) = service.requests[0]["vectorQueries"]
    assert (query["kind"], query["fields"], len(query["vector"])) == ("vector", "vector", 3)
    assert "search" not in service.requests[0]


async def test_the_service_embeds_the_query_where_no_embedding_is_named(service: SearchService) -> None:
    documents = await found(opened(service, vector_field="vector"), query="clean the lamp", top_k=1)
    assert [document.id for document in documents] == ["2"]
    assert service.requests[0]["search"] == "clean the lamp"
    assert service.requests[0]["vectorQueries"] == [
        {"kind": "text", "text": "clean the lamp", "k": 50, "fields": "vector"}
    ]


async def test_rrf_is_the_hybrid_search_of_the_service(service: SearchService) -> None:
    for mode in ("rrf", "hybrid"):
        await found(opened(service, vector_field="vector"), query="clean the lamp", mode=mode)
    by_rank, hybrid = service.requests
    assert by_rank == hybrid
    assert by_rank["search"] == "clean the lamp" and by_rank["vectorQueries"]


async def test_a_query_gets_the_prefix_that_its_model_wants(service: SearchService) -> None:
    with ModelServer() as model:
        connections = Given({"mine": OpenAIConnection("mine", api_key="k", base_url=model.base_url)})
        settings = {"vector_field": "vector", "embedding": "mine", "model": "d", "query_prefix": "query: "}
        await found(opened(service, connections=connections, **settings), query="lamp", mode="vector")
        assert [one.body["input"] for one in model.requests] == [["query: lamp"]]


async def test_semantic_ranking_gives_the_rankers_score(service: SearchService) -> None:
    documents = await found(opened(service, semantic_configuration_name="default"), top_k=1)
    assert documents[0].score == 3.0
    assert service.requests[0]["queryType"] == "semantic"
    assert service.requests[0]["semanticConfiguration"] == "default"


async def test_pages_are_read_up_to_top_k() -> None:
    with SearchService([{**DOCUMENTS[0], "id": str(n)} for n in range(9)], page=2) as service:
        assert len(await found(opened(service), top_k=5)) == 5


async def test_searches_share_a_client_and_another_loop_gets_its_own(service: SearchService) -> None:
    retriever = opened(service)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(retriever.retrieve("reset", top_k=1)) for _ in range(8)]
    assert {task.result()[0].id for task in tasks} == {"1"}
    await retriever.close()
    other = await asyncio.to_thread(lambda: asyncio.run(found(retriever, query="kettle")))
    assert [document.id for document in other] == ["3"]


async def test_a_busy_service_is_asked_again_when_it_says_so(service: SearchService) -> None:
    service.faults.extend([Fault(429, {"Retry-After": "0"}), Fault(503, {"Retry-After": "0"})])
    assert [document.id for document in await found(opened(service), query="kettle")] == ["3"]
    assert len(service.requests) == 3


class Unhurried(Limit):
    """Lets calls leave at once: the waits are `test_pacing`'s, on a clock that jumps."""

    def take(self, now: float) -> float:
        return 0.0


async def test_a_service_that_stays_busy_fails_the_node(service: SearchService) -> None:
    service.faults.extend([Fault(429, {"Retry-After": "0"})] * 60)
    retriever = AzureSearchRetriever(
        connection(service),
        "manual",
        fields={"id": "id", "content": "content"},
        new_pacer=lambda: Pacer(limit=Unhurried()),
    )
    assert (await failed(retriever)).code == "rate-limited"
    assert len(service.requests) == 40


async def test_a_wrong_key_fails_the_node_without_showing_it(service: SearchService) -> None:
    retriever = open_search(connection(service, "wrong-secret"), Path(), Given({}), index="manual")
    error = await failed(retriever)
    assert error.code == "auth"
    assert "wrong-secret" not in str(error)


async def test_an_index_that_is_not_there_is_named(service: SearchService) -> None:
    error = await failed(opened(service, index="manuel"))
    assert (error.code, "'manuel'" in error.message) == ("search-index-not-found", True)


async def test_a_filter_that_the_service_refuses_fails_with_its_words(service: SearchService) -> None:
    error = await failed(opened(service), filter="product = lamp")
    assert (error.code, "Invalid expression" in error.message) == ("bad-request", True)


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"", b"[]", b'{"value": 3}', b'{"value": [3]}'])
async def test_an_answer_that_is_none_fails_the_node(service: SearchService, body: bytes) -> None:
    service.faults.append(Fault(200, {"content-type": "application/json"}, body))
    assert (await failed(opened(service))).code == "bad-answer"


async def test_a_field_that_documents_lack_is_named_with_those_they_have(service: SearchService) -> None:
    error = await failed(opened(service, content_field="text"))
    assert error.code == "search-field-not-found"
    assert "'text'; they have id, content, product, name, vector" in error.message


async def test_the_key_is_not_sent_where_an_answer_points(service: SearchService) -> None:
    with SearchService(DOCUMENTS) as elsewhere:
        service.faults.append(Fault(307, {"location": f"{elsewhere.url}/steal"}))
        await failed(opened(service))
        assert elsewhere.requests == []


async def test_a_service_that_is_away_fails_the_node_after_some_tries() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    away = CognitiveSearchConnection("s", api_base=f"http://127.0.0.1:{port}", api_key="k")
    fields = {"id": "id", "content": "content"}
    retriever = AzureSearchRetriever(
        away, "manual", fields=fields, new_pacer=lambda: Pacer(sleep=sleep, jitter=lambda: 0.0)
    )
    assert (await failed(retriever)).code == "connection"
    assert waits[:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert set(waits[7:]) == {15.0}


@pytest.mark.parametrize("status", [429, 503])
async def test_nodes_that_share_a_connection_wait_together(service: SearchService, status: int) -> None:
    service.faults.append(Fault(status, {"retry-after-ms": "300"}))
    first, second = opened(service), opened(service, vector_field="vector")
    async with asyncio.TaskGroup() as group:
        group.create_task(first.retrieve("reset"))
        await asyncio.sleep(0.1)
        group.create_task(second.retrieve("kettle"))
    await first.close()
    await second.close()
    assert min(service.times[1:]) - service.times[0] > 0.28


async def test_vector_search_needs_a_vector_field(service: SearchService) -> None:
    with pytest.raises(InputError, match="vector_field"):
        await found(opened(service), mode="vector")


def test_a_node_needs_a_connection() -> None:
    with pytest.raises(InputError, match="cognitive_search"):
        open_search(None, Path(), Given({}), index="manual")


async def test_a_token_needs_the_extra_entra(service: SearchService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    entra = CognitiveSearchConnection("s", api_base=service.url, auth_mode="meid_token")
    with pytest.raises(MissingExtra, match=r"promptflow_lite\[entra\]"):
        await found(open_search(entra, Path(), Given({}), index="manual"))


NODE = """\
inputs:
  question: {type: string}
outputs:
  found: {type: list, reference: "${search.output}"}
nodes:
- name: search
  type: retrieval
  source: {type: package, tool: azure_ai_search}
  connection: my_search
  inputs: {index: manual, %s}
"""


async def test_a_retrieval_node_searches_it_by_connection(service: SearchService, tmp_path: Path) -> None:
    flow = folder(tmp_path, NODE % 'query: "${inputs.question}", select: [product], top_k: 1')
    made = make(flow.nodes[0], flow, Given({"my_search": connection(service)}))
    documents = await made.tool.call(query="kettle", top_k=1)
    for close in made.closers:
        await close()
    assert [(document.id, document.metadata) for document in documents] == [("3", {"product": "kettle"})]


def test_a_mistaken_setting_is_marked(service: SearchService, tmp_path: Path) -> None:
    flow = folder(tmp_path, NODE % "query: q, content_feild: text")
    with pytest.raises(FlowError) as caught:
        make(flow.nodes[0], flow, Given({"my_search": connection(service)}))
    assert codes(caught.value) == ["unknown-input"]
    assert caught.value.diagnostics[0].hint == "did you mean 'content_field'?"
