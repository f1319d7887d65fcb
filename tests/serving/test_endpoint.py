"""The app over an endpoint of several deployments, and inside another application."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from promptflow_lite.connections.store import Given
from promptflow_lite.serving.app import Options, create_app
from promptflow_lite.serving.deployment import BoundDeployment, Deployment, ask_by_header, load
from promptflow_lite.serving.door import Closing
from promptflow_lite.serving.server import Server, claim
from tests.flows_of import ECHO, ECHO_TOOL, echo, write
from tests.serving.served import Served
from tests.waiting import until


class Two:
    """An endpoint whose caller may name one of two deployments, and gets blue otherwise."""

    name = "two"

    def __init__(self, blue: BoundDeployment, green: BoundDeployment) -> None:
        self.deployments: Mapping[str, Deployment] = {"blue": blue, "green": green}

    def choose(self, headers: Mapping[bytes, bytes], model: str | None = None) -> Deployment:
        return ask_by_header(self.deployments, headers, model) or self.deployments["blue"]

    async def close(self) -> None:
        for deployment in self.deployments.values():
            await deployment.close()


def test_what_the_flow_has_no_input_for_is_named_in_the_answer_whatever_it_is_called(two: Served) -> None:
    sent = {"text": "hi", "txet": 1, "x\r\nset-cookie: a=b": 2}
    answer, body = two.call("POST", "/score", sent)
    assert (answer.status, json.loads(body)) == (200, {"text": "hi"})
    assert answer.headers["x-ignored"] == "inputs.txet, ?"
    assert answer.headers["set-cookie"] is None


def _deployment(folder: Path, name: str, tool: str = ECHO_TOOL) -> BoundDeployment:
    return load(write(folder / name, dag=ECHO, echo__py=tool), connections=Given({}), name=name)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Served]:
    blue = _deployment(tmp_path, "blue")
    green = _deployment(tmp_path, "green", ECHO_TOOL.replace("text * times", "'green ' + text"))
    closing, bound, ready = Closing(), claim("127.0.0.1", 0), threading.Event()
    app = create_app(Two(blue, green), Options(feedback=tmp_path / "feedback.jsonl"), closing=closing)
    server = Server(app, closing, on_ready=ready.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True)
    thread.start()
    assert ready.wait(10)
    served = Served(tmp_path / "blue")
    served.port = bound.getsockname()[1]
    yield served
    server.end()
    thread.join(20)


def test_a_header_names_the_deployment(two: Served) -> None:
    assert two.score({"text": "a"}) == (200, {"text": "a"})
    assert two.score({"text": "a"}, azureml_model_deployment="green") == (200, {"text": "green a"})
    status, answer = two.score({"text": "a"}, azureml_model_deployment="gren")
    assert (status, answer["error"]["code"]) == (404, "deployment-not-found")
    assert "did you mean 'green'?" in answer["error"]["message"]


def test_answers_are_counted_by_deployment(two: Served) -> None:
    two.score({"text": "a"})
    two.score({"text": "a"}, azureml_model_deployment="green")
    text = two.call("GET", "/metrics")[1].decode()
    for name in ("blue", "green"):
        assert f'promptflow_requests_total{{deployment="{name}",path="/score",status="200"}} 1.0' in text


def test_the_app_can_be_mounted_in_another(tmp_path: Path) -> None:
    from promptflow_lite.serving.deployment import Alone

    endpoint = Alone(load(echo(tmp_path / "echo"), connections=Given({})))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await endpoint.close()

    outer = FastAPI(lifespan=lifespan)

    @outer.get("/own")
    def own() -> dict[str, str]:
        return {"own": "yes"}

    outer.mount("/bot", create_app(endpoint, Options(feedback=tmp_path / "feedback.jsonl")))
    bound = claim("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(outer, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True)
    thread.start()
    until(lambda: server.started)
    served = Served(tmp_path / "echo")
    served.port = bound.getsockname()[1]
    assert json.loads(served.call("GET", "/own")[1]) == {"own": "yes"}
    response, text = served.call("POST", "/bot/score", {"text": "a"})
    assert (response.status, json.loads(text)) == (200, {"text": "a"})
    assert served.call("GET", "/bot/health")[0].status == 200
    assert served.call("GET", "/bot/nothing")[0].status == 404
    server.should_exit = True
    thread.join(20)
