"""A flow inside another application: its paths, its lifespan, what it keeps, and who may call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from promptflow_lite.errors import FlowError
from promptflow_lite.serving.library import app_of
from tests.flows_of import ECHO, ECHO_TOOL, write


def mounted(flow: FastAPI) -> FastAPI:
    """An application with the flow under /bot."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with flow.router.lifespan_context(flow):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/bot", flow)
    return outer


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)


@pytest.mark.filterwarnings("ignore")
def test_a_flow_answers_under_a_path_and_keeps_what_it_was_asked(echo: Path, tmp_path: Path) -> None:
    outer = mounted(app_of(echo, collect=tmp_path / "kept"))
    with TestClient(outer) as client:
        answer = client.post("/bot/score", json={"text": "hi"})
        assert (answer.status_code, answer.json()) == (200, {"text": "hi"})
        said = {"request_id": answer.headers["x-request-id"], "score": 1}
        assert client.post("/bot/feedback", json=said).status_code == 200
        assert client.get("/bot/").status_code == 200
        assert client.get("/score").status_code == 404
    # the lifespan's end has written what was kept
    (file,) = [file for file in (tmp_path / "kept").rglob("*.jsonl") if file.name != "feedback.jsonl"]
    assert json.loads(file.read_text())["request_id"] == said["request_id"]
    assert json.loads((tmp_path / "kept" / "feedback.jsonl").read_text())["score"] == 1


@pytest.mark.filterwarnings("ignore")
def test_keys_are_asked_for_where_they_are_given(echo: Path) -> None:
    with TestClient(mounted(app_of(echo, keys=["a-key-of-ours"]))) as client:
        assert client.post("/bot/score", json={"text": "hi"}).status_code == 401
        key = {"api-key": "a-key-of-ours"}
        assert client.post("/bot/score", json={"text": "hi"}, headers=key).status_code == 200
        (server,) = client.get("/bot/swagger.json", headers=key).json()["servers"]
        assert client.post(server["url"] + "/score", json={"text": "hi"}, headers=key).status_code == 200


@pytest.mark.filterwarnings("ignore")
def test_mcp_without_a_lifespan_is_refused_and_no_crash(echo: Path) -> None:
    pytest.importorskip("mcp")
    outer = FastAPI()
    outer.mount("/bot", app_of(echo, mcp=True))
    assert TestClient(outer).post("/bot/mcp", json={}).status_code == 503
    with TestClient(mounted(app_of(echo, mcp=True))) as client:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accept = {"accept": "application/json, text/event-stream"}
        answer = client.post("/bot/mcp", json=asked, headers=accept)
        assert answer.status_code == 200
        assert '"name":"echo"' in answer.text.replace(" ", "")


def test_a_wrong_flow_is_said_before_anything_is_mounted(tmp_path: Path) -> None:
    source = write(tmp_path / "wrong", dag=ECHO.replace("type: python", "type: pythn"), echo__py=ECHO_TOOL)
    with pytest.raises(FlowError):
        app_of(source)
