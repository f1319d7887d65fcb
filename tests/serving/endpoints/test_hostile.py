"""Strangers at the door of an endpoint with deployments: always a 4xx that says little.

All the while other callers ask without a pause; none of them may notice anything.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import ECHO, write
from tests.serving import strangers
from tests.serving.endpoints.desk import Desk, Load, flow
from tests.serving.served import raw
from tests.waiting import until

JSON = {"content-type": "application/json"}
SECRET = "sk-very-secret-key"
FAILING = f"""\
from promptflow_lite import tool


@tool
def echo(text: str, times: int) -> str:
    raise ValueError(f"{{__file__}} {SECRET}")
"""
SLOW = """\
import asyncio
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    await asyncio.sleep(0.5)
    return "slow"
"""
HEAD = "POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("endpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PF_HOME", str(home / "home"))
        settings.cache_clear()
        with Desk(home) as served:
            served.deploy("blue", flow(home / "blue", "blue"), "--all-traffic")
            served.deploy("failing", write(home / "failing", dag=ECHO, echo__py=FAILING))
            limits = (
                "request_settings: {max_concurrent_requests_per_instance: 64, max_queue_wait_ms: 30000}\n"
            )
            served.deploy("slow", write(home / "slow", dag=ECHO, echo__py=SLOW), body=limits)
            with Load(served, callers=1) as load:
                yield served
            assert load.failures == []
            assert load.answers.total() > 100
            assert set(load.answers) == {(200, "blue")}
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _same_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_HOME", str(desk.folder / "home"))
    settings.cache_clear()


def _call(
    desk: Desk, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[HTTPResponse, bytes]:
    sent = {"authorization": f"Bearer {desk.key}", **(headers or {})}
    with closing(HTTPConnection("127.0.0.1", desk.port, timeout=60)) as connection:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return response, response.read()


def _code(desk: Desk, text: bytes) -> str:
    """The error's code; it says nothing of this machine."""
    for told in (str(desk.folder), "Traceback", SECRET, desk.key):
        assert told not in text.decode()
    return str(json.loads(text)["error"]["code"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [*strangers.SCORED, (b'{"text": "' + b"a" * 9_000_000 + b'"}', 413, "body-too-large")],
)
def test_wrong_bodies_are_refused(desk: Desk, body: bytes, status: int, code: str) -> None:
    response, text = _call(desk, "POST", "/score", body, JSON)
    assert (response.status, _code(desk, text)) == (status, code)


@pytest.mark.parametrize("kind", strangers.KINDS)
def test_only_json_comes_in(desk: Desk, kind: str) -> None:
    response, text = _call(desk, "POST", "/score", b'{"text": "a"}', {"content-type": kind})
    assert (response.status, _code(desk, text)) == (415, "not-json")


@pytest.mark.parametrize("key", strangers.WRONG_KEYS)
@pytest.mark.parametrize("path", ["/v1/models", "/swagger.json", "/metrics", "/docs", "/nothing", "/SCORE"])
def test_without_a_key_nothing_is_told(desk: Desk, key: str | None, path: str) -> None:
    headers = {"authorization": "" if key is None else f"Bearer {key}"}
    response, text = _call(desk, "GET", path, headers=headers)
    assert (response.status, _code(desk, text)) == (401, "unauthorized")
    asked = {**JSON, **headers, "azureml-model-deployment": "blue"}
    assert _call(desk, "POST", "/score", b'{"text": "a"}', asked)[0].status == 401


@pytest.mark.parametrize("name", ["absent", "", "../blue", "blue\xff", "x" * 5000, "BLUE", "blue,failing"])
def test_a_deployment_that_is_none_is_a_404(desk: Desk, name: str) -> None:
    response, text = _call(
        desk, "POST", "/score", b'{"text": "a"}', {**JSON, "azureml-model-deployment": name}
    )
    assert (response.status, _code(desk, text)) == (404, "deployment-not-found")


def test_a_deployment_that_fails_tells_no_path_no_trace_and_no_secret(desk: Desk) -> None:
    asked = {**JSON, "azureml-model-deployment": "failing"}
    response, text = _call(desk, "POST", "/score", b'{"text": "a"}', asked)
    assert (response.status, _code(desk, text)) == (500, "node-error")
    response, text = _call(desk, "POST", "/score", b'{"text": "a"}', {**asked, "accept": "text/event-stream"})
    assert (response.status, _code(desk, text)) == (500, "node-error")


@pytest.mark.parametrize(
    "path", [*strangers.PATHS, "/%2e%2e/%2e%2e/endpoint.json", "/endpoint.json", "/status.json", "/keys"]
)
def test_other_paths_lead_nowhere(desk: Desk, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\napi-key: {desk.key}\r\nconnection: close\r\n\r\n"
    answer = raw(desk.port, request.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"x-injected" not in answer


@pytest.mark.parametrize(
    "data",
    [
        *strangers.NO_HTTP,
        b"GET / HTTP/1.1\r\nhost: localhost\r\nazureml-model-deployment: a\x00b\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_400(desk: Desk, data: bytes) -> None:
    answer = raw(desk.port, data, half_close=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert _code(desk, answer.partition(b"\r\n\r\n")[2]) == "bad-request"


def test_headers_are_echoed_only_if_they_are_plain(desk: Desk) -> None:
    for given in ("a b", "x" * 200, "<script>"):
        assert (
            _call(desk, "GET", "/health", headers={"x-request-id": given})[0].getheader("x-request-id")
            != given
        )
    for host, status in (("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost", 200)):
        assert _call(desk, "GET", "/health", headers={"host": host})[0].status == status
    origin = {**JSON, "origin": "https://evil.example"}
    assert _call(desk, "POST", "/score", b'{"text": "a"}', origin)[0].status == 403


def test_a_body_of_a_hundred_megabytes_is_refused_unread(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.port), timeout=60) as connection:
        connection.sendall(f"{HEAD}api-key: {desk.key}\r\ncontent-length: 100000000\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_slow_and_half_closed_connections_do_no_harm(desk: Desk) -> None:
    with strangers.idle(desk.port, f"{HEAD}api-key: {desk.key}\r\n"):
        assert desk.score() == (200, {"text": "blue"})


async def test_a_thousand_at_once_are_answered_or_told_to_come_back(desk: Desk) -> None:
    body = b'{"text": "a"}'
    request = (
        f"{HEAD}api-key: {desk.key}\r\nconnection: close\r\nazureml-model-deployment: slow\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    done, _ = await strangers.a_thousand(desk.port, request)
    assert len(done) >= 320


def test_callers_that_leave_free_their_places(desk: Desk) -> None:
    request = f"{HEAD}api-key: {desk.key}\r\nazureml-model-deployment: slow\r\ncontent-length: 13\r\n\r\n"
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", desk.port)) as connection:
            connection.sendall(request.encode() + b'{"text": "a"}')
    until(lambda: desk.metric(r'promptflow_in_flight\{deployment="slow"\}') == 0)
    assert desk.score(azureml_model_deployment="slow") == (200, {"text": "slow"})


def test_schemathesis_finds_nothing(desk: Desk) -> None:
    strangers.schemathesis(desk.port, desk.key)
