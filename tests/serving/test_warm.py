"""What a server reads before it says that it is ready."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from promptflow_lite import registry
from promptflow_lite.retrieval.document import Document
from promptflow_lite.serving.one import make
from promptflow_lite.serving.server import claim
from tests.flows_of import write
from tests.serving.served import Served

DAG = """\
inputs:
  text: {type: string}
outputs:
  found: {type: list, reference: "${search.output}"}
nodes:
- name: search
  type: retrieval
  source: {type: package, tool: weighty}
  inputs: {query: "${inputs.text}", MORE}
"""


class Weighty:
    """A retriever whose weights take a while, or cannot be read."""

    is_there = True
    reads = threading.Event()
    read = 0

    async def warm(self) -> None:
        self.reads.set()
        if not self.is_there:
            raise RuntimeError("the weights are gone")
        await asyncio.sleep(0.05)
        Weighty.read += 1

    async def retrieve(self, query: str, *, top_k: int = 3, mode: str = "hybrid") -> list[Document]:
        return [Document(f"{query} {self.read}")]


class Endless(Weighty):
    """One whose weights are on their way for ever."""

    async def warm(self) -> None:
        self.reads.set()
        await asyncio.sleep(3600)


def open_weighty(connection: object, folder: Path, connections: object) -> Weighty:
    return Weighty()


def open_endless(connection: object, folder: Path, connections: object) -> Weighty:
    return Endless()


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ours = "promptflow_lite.retrievers"
    points = [EntryPoint(name, f"{__name__}:open_{name}", ours) for name in ("weighty", "endless")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == ours else [])
    monkeypatch.setattr(Weighty, "read", 0)
    Weighty.reads.clear()
    registry._points.cache_clear()
    yield
    registry._points.cache_clear()


def _flow(folder: Path, more: str = "top_k: 1", tool: str = "weighty") -> Path:
    return write(folder, dag=DAG.replace("MORE", more).replace("weighty", tool))


def _answer(flow: Path) -> str:
    with Served(flow) as served:
        status, body = served.score({"text": "hi"})
    assert status == 200
    return str(body["found"][0]["content"])


def test_the_first_request_finds_the_weights_read(tmp_path: Path) -> None:
    with Served(_flow(tmp_path)):
        assert Weighty.read == 1  # nobody has asked yet


def test_what_no_search_will_use_is_not_read(tmp_path: Path) -> None:
    assert _answer(_flow(tmp_path, "mode: keyword")) == "hi 0"


def test_weights_that_cannot_be_read_are_told_of_and_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Weighty, "is_there", False)
    with caplog.at_level(logging.WARNING, "promptflow_lite.serving"):
        assert _answer(_flow(tmp_path)) == "hi 0"
    assert "the weights are gone" in caplog.text


def test_a_server_that_is_still_reading_ends_when_it_is_told_to(tmp_path: Path) -> None:
    served = Served(_flow(tmp_path, tool="endless"))
    server = make(served.plan, served.plan.deployment())
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[claim("127.0.0.1", 0)])))
    thread.start()
    assert Weighty.reads.wait(60)
    server.end()
    thread.join(60)
    assert not thread.is_alive()
