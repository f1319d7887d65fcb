"""Strangers at the door: always a 4xx that says little, and the others are served on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows_of import echo, write
from tests.serving import strangers
from tests.serving.served import Served, raw
from tests.waiting import until

JSON = {"content-type": "application/json"}
_SLOW = """\
import asyncio
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    await asyncio.sleep(0.5)
    return text
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(echo(tmp_path_factory.mktemp("flows") / "echo"), max_body_bytes=100_000) as server:
        yield server
        assert server.score({"text": "still here"}) == (200, {"text": "still here"})


def _code(text: bytes) -> str:
    return str(json.loads(text)["error"]["code"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "inputs.text: missing; expected a string"),
        ({"text": None}, "inputs.text: expected a string, got null"),
        ({"text": ["a"]}, "inputs.text: expected a string, got a list"),
        ({"text": "a", "times": "three"}, "inputs.times: expected an int, got 'three'"),
        ({"text": "a", "times": 1e300}, None),
        ({"text": "a", "times": {}}, "inputs.times: expected an int, got an object"),
        ({"text": "a", "times": 3.9}, "inputs.times: expected an int, got 3.9"),
        ({"text": False}, "inputs.text: expected a string, got false"),
        ([], "expected an object of inputs by name: text, times"),
        ("text", "expected an object of inputs by name: text, times"),
        (3, "expected an object of inputs by name: text, times"),
    ],
)
def test_wrong_inputs_are_refused_with_the_field(served: Served, inputs: Any, message: str | None) -> None:
    if message is None:  # an int it is, but text cannot be repeated so often
        assert served.score(inputs)[0] == 500
        return
    status, answer = served.score(inputs)
    assert (status, answer["error"]["message"]) == (400, message)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [*strangers.SCORED, (b'{"text": "' + b"a" * 100_000 + b'"}', 413, "body-too-large")],
)
def test_wrong_bodies_are_refused(served: Served, body: bytes, status: int, code: str) -> None:
    response, text = served.call("POST", "/score", body, JSON)
    assert (response.status, _code(text)) == (status, code)


@pytest.mark.parametrize("kind", strangers.KINDS)
def test_only_json_comes_in(served: Served, kind: str) -> None:
    response, text = served.call("POST", "/score", b'{"text": "a"}', {"content-type": kind})
    assert (response.status, _code(text)) == (415, "not-json")


def test_what_the_caller_does_not_take_is_not_sent(served: Served) -> None:
    assert served.score({"text": "a"}, accept="text/html")[0] == 406
    assert served.score({"text": "a"}, accept="text/html, */*;q=0.1")[0] == 200


def test_a_body_of_a_hundred_megabytes_is_refused_unread(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        head = "POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: 100000000\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_a_length_is_cut_off_at_the_limit(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        head = "POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        for _ in range(30):
            connection.sendall(chunk)
        assert b" 413 " in connection.recv(4096)


@pytest.mark.parametrize("path", strangers.PATHS)
def test_other_paths_lead_nowhere(served: Served, path: str) -> None:
    answer = raw(served.port, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"x-injected" not in answer


@pytest.mark.parametrize("data", strangers.NO_HTTP)
def test_what_is_no_http_gets_a_400(served: Served, data: bytes) -> None:
    answer = raw(served.port, data, half_close=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert _code(answer.partition(b"\r\n\r\n")[2]) == "bad-request"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\norigin: http://[bad", 403),
        (b"GET /health HTTP/1.1\r\nhost: [::1", 403),
        (b"GET /health HTTP/1.0", 403),
        (b"GET http://evil.example/health HTTP/1.1\r\nhost: evil.example", 403),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nhost: localhost", 400),
        (b"OPTIONS * HTTP/1.1\r\nhost: localhost", 404),
        (b"GET /health?%%% HTTP/1.1\r\nhost: localhost", 200),
        (b"GET /%ff%fe HTTP/1.1\r\nhost: localhost", 404),
        (b"GET /v1/models/%ff%00 HTTP/1.1\r\nhost: localhost", 404),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket", 200),
        (b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: \xff", 406),
        (b"POST /score HTTP/1.1\r\nhost: localhost\r\nazureml-model-deployment: \xff", 404),
    ],
)
def test_odd_heads_get_a_plain_answer(served: Served, head: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_a_head_without_end_is_cut_off(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for n in range(2000):
                connection.sendall(f"x-{n}: {'a' * 100}\r\n".encode())
            answer = connection.recv(4096)
        except ConnectionError:  # cut off while we were still sending
            return
        assert b" 431 " in answer or not answer


def test_a_request_id_that_could_be_a_header_is_not_echoed(served: Served) -> None:
    for given in ("a b", "x" * 200, "å", "<script>"):
        response, _ = served.call("GET", "/health", headers={"x-request-id": given})
        assert response.getheader("x-request-id") != given
    response, _ = served.call("GET", "/health", headers={"x-request-id": "order-7_a.b"})
    assert response.getheader("x-request-id") == "order-7_a.b"
    response, _ = served.call("GET", "/health", headers={"x-ms-client-request-id": "azure-1"})
    assert response.getheader("x-ms-client-request-id") == "azure-1"


def test_a_trace_is_echoed_if_it_is_one(served: Served) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response, _ = served.call("GET", "/health", headers={"traceparent": trace})
    assert response.getheader("traceparent") == trace
    response, _ = served.call("GET", "/health", headers={"traceparent": "00-zz"})
    assert response.getheader("traceparent") is None


def test_every_answer_has_the_security_headers(served: Served) -> None:
    for method, path in (("GET", "/health"), ("GET", "/nothing"), ("PUT", "/score"), ("GET", "/")):
        response, _ = served.call(method, path)
        assert response.getheader("x-content-type-options") == "nosniff"
        assert response.getheader("x-frame-options") == "DENY"
        assert response.getheader("access-control-allow-origin") is None
    assert "default-src 'none'" in (response.getheader("content-security-policy") or "")


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_another_host_is_not_answered(served: Served, host: str) -> None:
    response, text = served.call("GET", "/health", headers={"host": host})
    assert (response.status, _code(text)) == (403, "forbidden-host")


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", "http://127.0.0.1", "http://localhost:1"]
)
def test_a_page_of_another_site_may_not_call(served: Served, origin: str) -> None:
    response, text = served.call("POST", "/score", {"text": "a"}, {"origin": origin})
    assert (response.status, _code(text)) == (403, "forbidden-origin")
    response, _ = served.call(
        "OPTIONS", "/score", headers={"origin": origin, "access-control-request-method": "POST"}
    )
    assert response.status == 403


def test_the_own_page_may_call(served: Served) -> None:
    assert served.score({"text": "a"}, origin=served.url)[0] == 200


def test_a_node_that_fails_tells_no_trace_no_path_and_no_words_of_its_own(tmp_path: Path) -> None:
    tool = "from promptflow_lite import tool\n\n\n@tool\ndef echo(text: str, times: int) -> str:\n"
    tool += "    raise ValueError(f'{__file__} sk-very-secret-key')\n"
    flow = echo(tmp_path / "failing")
    write(flow, echo__py=tool)
    with Served(flow) as failing:
        status, answer = failing.score({"text": "a"})
    assert (status, answer) == (
        500,
        {"error": {"code": "node-error", "message": "node 'echo' failed; the server's log says why"}},
    )


def test_a_deep_output_is_still_json(tmp_path: Path) -> None:
    flow = echo(tmp_path / "deep")
    tool = "from promptflow_lite import tool\n\n\n@tool\ndef echo(text: str, times: int) -> object:\n"
    tool += "    value: list = []\n    for _ in range(times):\n        value = [value]\n    return value\n"
    write(flow, echo__py=tool)
    with Served(flow) as deep:
        assert deep.score({"text": "a", "times": 400})[0] == 200


async def test_a_thousand_at_once_are_answered_or_told_to_come_back(tmp_path: Path) -> None:
    flow = echo(tmp_path / "slow")
    write(flow, echo__py=_SLOW)
    body = b'{"text": "a"}'
    request = (
        b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    with Served(flow, max_concurrency=64, max_queue=256) as slow:
        done, _ = await strangers.a_thousand(slow.port, request)
        assert len(done) >= 320
        assert slow.score({"text": "after"}) == (200, {"text": "after"})


def test_half_closed_and_idle_connections_do_no_harm(served: Served) -> None:
    with strangers.idle(served.port, "POST /score HTTP/1.1\r\nhost: localhost\r\n"):
        assert served.score({"text": "a"})[0] == 200


def test_a_slow_head_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptflow_lite.serving import protocol

    monkeypatch.setattr(protocol, "_HEAD_S", 0.3)
    head = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    assert raw(served.port, head).startswith(b"HTTP/1.1 408 ")
    assert raw(served.port, b"") == b""


def test_bodies_that_are_large_together_are_told_to_come_back(tmp_path: Path) -> None:
    head = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    begun = head + b"content-length: 1000\r\n\r\n{"
    with Served(echo(tmp_path / "echo"), max_body_bytes=1024) as small:
        waiting = [socket.create_connection(("127.0.0.1", small.port), timeout=60) for _ in range(40)]
        for connection in waiting:
            connection.sendall(begun)
        waiting[-1].settimeout(20)
        answer = waiting[-1].recv(4096)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
        for connection in waiting:
            connection.close()
        until(lambda: small.score({"text": "a" * 500})[0] == 200)


def test_a_silent_stream_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptflow_lite.serving import running

    monkeypatch.setattr(running, "_BEAT_S", 0.1)
    with Served(write(echo(tmp_path / "slow"), echo__py=_SLOW)) as slow:
        _, text = slow.call("POST", "/score", {"text": "a"}, {"accept": "text/event-stream"})
    assert text.startswith(b": waiting\n\n")
    assert text.endswith(b'data: {"text":"a"}\n\n')


def test_a_run_that_takes_too_long_is_a_504(tmp_path: Path) -> None:
    with Served(write(echo(tmp_path / "slow"), echo__py=_SLOW), timeout_s=0.1) as slow:
        status, answer = slow.score({"text": "a"})
        assert (status, answer["error"]["code"]) == (504, "timeout")
        response, text = slow.call("POST", "/score", {"text": "a"}, {"accept": "text/event-stream"})
        assert (response.status, _code(text)) == (504, "timeout")


def test_a_slow_body_is_cut_off(tmp_path: Path) -> None:
    with Served(echo(tmp_path / "echo"), body_s=0.3) as impatient:
        head = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        answer = raw(impatient.port, head + b"content-length: 50\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert _code(answer.partition(b"\r\n\r\n")[2]) == "slow-body"
