"""What goes over the wire is what the openai client sends; what comes back wrong is told by a code."""

from __future__ import annotations

import asyncio
import gzip
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import openai
import pytest

from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import AzureOpenAIConnection, OpenAIConnection, ServerlessConnection
from promptflow_lite.tools.clients import embed, endpoint_of, openai_client
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.wire import ask, gather, stream
from tests.model_server import Fault, ModelServer, Recorded, Reply

KEY = "sk-very-secret-key"
MESSAGES = [
    {"role": "system", "content": "Antworte knapp. 日本語も。"},
    {"role": "user", "content": 'hi\n"there"'},
]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(api_key=KEY) as running:
        yield running


def open_ai(server: ModelServer, **fields: Any) -> OpenAIConnection:
    return OpenAIConnection("mine", **{"api_key": KEY, "base_url": server.base_url, **fields})


def azure(server: ModelServer, **fields: Any) -> AzureOpenAIConnection:
    return AzureOpenAIConnection("mine", **{"api_key": KEY, "api_base": server.url, **fields})


def chat(body: Mapping[str, Any]) -> Callable[[Connection], Awaitable[Any]]:
    async def call(connection: Connection) -> Any:
        return await ask(await endpoint_of(connection), "chat/completions", body, said)

    return call


def said(answer: Mapping[str, Any]) -> Any:
    return answer["choices"][0]["message"]["content"]


def on_the_wire(request: Recorded) -> tuple[Any, ...]:
    """What must not differ."""
    names = ("authorization", "api-key", "content-type", "accept", "openai-organization")
    kept = {name: request.headers[name] for name in names if name in request.headers}
    return request.method, request.target, kept, request.body


CHAT_BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": MESSAGES,
    "temperature": 0.0,
    "top_p": 1.0,
    "max_tokens": 64,
    "stop": ["\n\n"],
    "seed": 7,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
}


@pytest.mark.parametrize(
    "kind",
    [
        lambda s: open_ai(s),
        lambda s: open_ai(s, organization="org-1"),
        lambda s: open_ai(s, base_url=s.base_url + "/"),
        lambda s: azure(s),
        lambda s: azure(s, api_base=s.url + "/", api_version="2024-10-21"),
        lambda s: azure(s, api_base=s.url + "/openai/v1/"),
        lambda s: ServerlessConnection("mine", api_key=KEY, api_base=s.url),
    ],
)
async def test_a_chat_is_sent_as_the_openai_client_sends_it(
    server: ModelServer, kind: Callable[[ModelServer], Connection]
) -> None:
    connection = kind(server)
    ours = await chat(CHAT_BODY)(connection)
    async with await openai_client(connection) as client:
        theirs = await client.chat.completions.create(**CHAT_BODY)
    assert ours == theirs.choices[0].message.content
    first, second = map(on_the_wire, server.requests)
    assert first == second


async def test_a_completion_is_sent_as_the_openai_client_sends_it(server: ModelServer) -> None:
    body: dict[str, Any] = {"model": "m", "prompt": "Once", "max_tokens": 16, "echo": False, "best_of": 1}
    endpoint = await endpoint_of(azure(server))
    await ask(endpoint, "completions", body, lambda answer: answer["choices"][0]["text"])
    async with await openai_client(azure(server)) as client:
        await client.completions.create(**body)
    first, second = map(on_the_wire, server.requests)
    assert first == second


async def test_embeddings_are_asked_as_the_openai_client_asks_and_read_alike(server: ModelServer) -> None:
    ours = await embed(open_ai(server), ["abc", "日本語"], "text-embedding-3-small")
    async with await openai_client(open_ai(server)) as client:
        theirs = await client.embeddings.create(model="text-embedding-3-small", input=["abc", "日本語"])
    assert ours == [item.embedding for item in theirs.data]
    first, second = map(on_the_wire, server.requests)
    assert first == second


async def test_embeddings_of_a_server_that_only_knows_numbers_are_read() -> None:
    with ModelServer(float_embeddings=True) as server:
        assert await embed(open_ai(server), ["four"], "m") == [[4.0, 0.5, -0.25]]


async def test_a_stream_is_sent_as_the_openai_client_sends_it(server: ModelServer) -> None:
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    body["stream_options"] = {"include_usage": True}
    endpoint = await endpoint_of(azure(server))
    ours = [event async for event in stream(endpoint, "chat/completions", body)]
    async with await openai_client(azure(server)) as client:
        theirs = [event async for event in await client.chat.completions.create(**body)]
    assert [e["choices"][0]["delta"].get("content") for e in ours if e["choices"]] == [
        e.choices[0].delta.content for e in theirs if e.choices
    ]
    assert ours[-1]["usage"]["total_tokens"] == theirs[-1].usage.total_tokens
    first, second = map(on_the_wire, server.requests)
    assert first == second


async def test_an_entra_token_is_sent_as_the_openai_client_sends_it(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptflow_lite.connections.entra import token_source

    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    token_source.cache_clear()
    server.api_key = None
    connection = azure(server, api_key=None, auth_mode="meid_token")
    try:
        await chat({"model": "m", "messages": MESSAGES})(connection)
        async with await openai_client(connection) as client:
            await client.chat.completions.create(model="m", messages=MESSAGES)  # type: ignore[arg-type]
    finally:
        token_source.cache_clear()
    calls = [r for r in server.requests if r.target.startswith("/openai")]
    first, second = map(on_the_wire, calls)
    assert first == second
    assert first[2]["authorization"] == "Bearer entra-token"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.error(400, None, "Invalid value"), "bad-request"),
        (Fault.error(400, "content_filter", "filtered"), "content-filter"),
        (
            Fault(400, b'{"error":{"code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}'),
            "content-filter",
        ),
        (Fault.error(400, "context_length_exceeded", "too long"), "context-length"),
        (
            Fault(400, b'{"error":{"type":"exceed_context_size_error","message":"9031 tokens"}}'),
            "context-length",
        ),
        (Fault.error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}."), "auth"),
        (Fault.error(403, None, "no"), "auth"),
        (Fault.error(404, "DeploymentNotFound", "no such deployment"), "model-not-found"),
        (Fault.error(422, None, "no"), "bad-request"),
        (Fault.error(429, "insufficient_quota", "You exceeded your current quota"), "quota"),
        (Fault(302, b"", {"location": "http://127.0.0.1:1/"}), "bad-request"),
    ],
)
async def test_what_will_not_pass_is_not_tried_again(server: ModelServer, fault: Fault, code: str) -> None:
    server.faults.append(fault)
    with pytest.raises(ModelError) as caught:
        await chat({"model": "m", "messages": MESSAGES})(open_ai(server))
    assert caught.value.code == code
    assert caught.value.details["status"] == fault.status
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.error(408, None, "timeout", retry_after_ms="1"),
        Fault.error(409, None, "conflict", retry_after_ms="1"),
        Fault.error(429, "rate_limit_exceeded", "slow down", retry_after_ms="1"),
        Fault.error(500, None, "oops", retry_after_ms="1"),
        Fault(503, b"<html>busy</html>", {"retry-after-ms": "1"}),
        Fault(200, b"<html>maintenance</html>"),
        Fault(200, b""),
        Fault(200, b"null"),
        Fault(200, b'{"choices": []}'),
        Fault(200, b"\xff\xfe{"),
        Fault(cut_after=20),
        Fault(drop=True),
    ],
    ids=lambda f: f"{f.status}-{bytes(f.body)[:12]!r}-{f.drop}-{f.cut_after}",
)
async def test_what_may_pass_is_tried_again(server: ModelServer, fault: Fault) -> None:
    from promptflow_lite.tools.answer import of_chat

    server.faults.append(fault)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    endpoint = await endpoint_of(open_ai(server))
    assert await ask(endpoint, "chat/completions", body, lambda a: of_chat(a, body, None)) == "echo: hi"
    assert len(server.requests) == 2


@pytest.mark.parametrize("sent", [b"", b"x"], ids=["stalls", "drips"])
async def test_a_body_that_stalls_or_drips_ends_at_the_deadline(sent: bytes) -> None:
    done = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{")
        with suppress(ConnectionError):
            is_open = True
            while is_open:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        is_open = bool(await reader.read(4096))
                writer.write(sent)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        base = f"http://127.0.0.1:{port}/v1"
        endpoint = await endpoint_of(OpenAIConnection("mine", api_key=KEY, base_url=base, timeout=0.5))
        with pytest.raises(ModelError) as caught:
            async with asyncio.timeout(5):
                await only_once(endpoint)
        async with asyncio.timeout(2):
            await done.wait()
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog drops calls there")
async def test_an_endpoint_that_takes_no_connection_is_given_up_after_five_seconds() -> None:
    with ExitStack() as open_sockets:
        deaf = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # its backlog is full: what comes now is not answered
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        await asyncio.sleep(0.1)
        base = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ModelError, match="no connection within 5 s") as caught:
            async with asyncio.timeout(20):
                await only_once(await endpoint_of(OpenAIConnection("deaf", api_key=KEY, base_url=base)))
    assert loop.time() - began >= 4.5
    assert caught.value.retryable


async def test_an_answer_that_is_late_ends_at_the_deadline(server: ModelServer) -> None:
    server.faults.append(Fault(delay_s=5))
    endpoint = await endpoint_of(open_ai(server, timeout=0.2))
    with pytest.raises(ModelError) as caught:
        async with asyncio.timeout(3):
            await only_once(endpoint)
    assert caught.value.code == "timeout"


async def test_a_small_compressed_answer_does_not_become_a_large_one(server: ModelServer) -> None:
    bomb = gzip.compress(b'{"a":"' + b"a" * (64 * 1024 * 1024))
    server.faults.append(Fault(200, bomb, {"content-encoding": "gzip"}))
    with pytest.raises(ModelError, match="longer than 8 MB") as caught:
        await chat({"model": "m", "messages": MESSAGES})(open_ai(server))
    assert caught.value.code == "bad-answer"


async def test_an_endpoint_that_is_not_there_is_named() -> None:
    connection = OpenAIConnection("away", api_key=KEY, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=r"away at http://127.0.0.1:9/v1") as caught:
        await only_once(await endpoint_of(connection))
    assert caught.value.code == "connection"


async def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_text(server: ModelServer) -> None:
    from promptflow_lite.tools.answer import text_parts

    server.faults.append(Fault(cut_after=3))
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    parts: list[str] = []
    with pytest.raises(ModelError) as caught:
        events = stream(await endpoint_of(open_ai(server)), "chat/completions", body)
        async for part in text_parts(events, body, None):
            parts.append(part)
    assert caught.value.code == "connection"
    assert parts == ["echo:", ' hi\n"there"']


async def test_json_in_place_of_a_stream_is_tried_again(server: ModelServer) -> None:
    server.faults.append(Fault(200, b'{"choices":[]}'))
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    events = [e async for e in stream(await endpoint_of(open_ai(server)), "chat/completions", body)]
    assert events
    assert len(server.requests) == 2


async def test_an_error_inside_a_stream_is_an_error(server: ModelServer) -> None:
    event = b'data: {"error": {"message": "overloaded"}}\n\n'
    server.faults.extend([Fault(200, event, {"content-type": "text/event-stream"})] * 1)
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    events = [e async for e in stream(await endpoint_of(open_ai(server)), "chat/completions", body)]
    assert events, "an error before the first text is tried again"


async def test_what_json_cannot_hold_is_said_before_it_is_sent(server: ModelServer) -> None:
    with pytest.raises(ModelError) as caught:
        await chat({"model": "m", "messages": [{"role": "user", "content": "\ud800"}]})(open_ai(server))
    assert caught.value.code == "bad-request"
    assert not server.requests


async def test_the_openai_client_of_a_connection_answers(server: ModelServer) -> None:
    server.answer = lambda body: Reply("yes")
    async with await openai_client(open_ai(server)) as client:
        assert isinstance(client, openai.AsyncOpenAI)
        answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "yes"


async def only_once(endpoint: Endpoint) -> Any:
    """One try, without the waits of a pacer."""
    from promptflow_lite.tools.wire import once

    return await once(endpoint, "chat/completions", {"model": "m", "messages": MESSAGES})


def test_a_deadline_is_a_length_of_time() -> None:
    endpoint = asyncio.run(endpoint_of(OpenAIConnection("x", api_key="k", timeout=2.5)))
    assert endpoint.timeout == timedelta(seconds=2.5)


async def test_events_come_as_they_are_sent(server: ModelServer) -> None:
    server.gap_s = 0.1
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES, "stream": True}
    loop = asyncio.get_running_loop()
    came = []
    async for _ in stream(await endpoint_of(open_ai(server)), "chat/completions", body):
        came.append(loop.time())
    assert came[-1] - came[0] > 0.2


async def test_a_call_that_is_cancelled_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while await reader.read(4096):
            pass
        gone.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = OpenAIConnection("mine", api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1")
        call = asyncio.create_task(only_once(await endpoint_of(connection)))
        await asyncio.sleep(0.2)
        assert not gone.is_set()
        call.cancel()
        async with asyncio.timeout(2):
            await gone.wait()


@pytest.mark.parametrize("fault", [Fault(cut_after=2), Fault(stall_after=2)], ids=["cut", "stalled"])
async def test_a_stream_that_nobody_watches_is_asked_for_again(server: ModelServer, fault: Fault) -> None:
    from promptflow_lite.tools.answer import text_parts

    server.faults.append(fault)
    body: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "one two"}],
        "stream": True,
    }
    endpoint = await endpoint_of(open_ai(server, timeout=1.0))
    text = await gather(endpoint, "chat/completions", body, lambda events: text_parts(events, body, None))
    assert text == "echo: one two"
    assert len(server.requests) == 2


async def test_headers_that_say_nothing_is_left_are_heeded_before_a_refusal(server: ModelServer) -> None:
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-limit-requests": "2"}
    answer = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
    server.faults.append(Fault(200, answer, {**left, "x-ratelimit-reset-requests": "800ms"}))
    connection = open_ai(server)
    await chat({"model": "m", "messages": MESSAGES})(connection)
    await chat({"model": "m", "messages": MESSAGES})(connection)
    first, second = server.requests
    assert second.at - first.at >= 0.39


@pytest.mark.parametrize("streams", [False, True])
async def test_tokens_a_minute_of_the_connection_are_kept_to(server: ModelServer, streams: bool) -> None:
    from promptflow_lite.tools.answer import text_parts

    server.answer = lambda body: "word " * 3000
    endpoint = await endpoint_of(open_ai(server, tokens_per_minute=60_000.0))
    body: dict[str, Any] = {"model": "m", "messages": MESSAGES}
    for _ in range(3):  # 5,000 are there at the start: two of these calls, and 1,000 that the third waits for
        if streams:
            asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
            await gather(endpoint, "chat/completions", asked, lambda events: text_parts(events, body, None))
        else:
            await ask(endpoint, "chat/completions", body, said)
    first, second, third = server.requests
    assert second.at - first.at < third.at - second.at
    assert third.at - first.at >= 0.9


async def test_requests_a_minute_of_the_connection_are_kept_to(server: ModelServer) -> None:
    connection = open_ai(server, requests_per_minute=600.0)
    await asyncio.gather(*(chat({"model": "m", "messages": MESSAGES})(connection) for _ in range(6)))
    times = [request.at for request in server.requests]
    assert times[-1] - times[0] >= 0.4


@pytest.mark.parametrize("value", ["soon", 0, -3])
def test_a_rate_that_is_none_is_refused(value: object) -> None:
    from promptflow_lite.connections.files import make
    from promptflow_lite.errors import UserError

    body = {"type": "open_ai", "base_url": "http://x", "requests_per_minute": value}
    with pytest.raises(UserError, match="requests_per_minute"):
        make("mine", body, {})
