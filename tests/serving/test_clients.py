"""Clients that people have: openai, langchain-openai, and whatever reads server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from promptflow_lite.settings import settings
from tests.model_server import Fault, ModelServer, Reply
from tests.serving.served import Served, chat_flow
from tests.waiting import until

KEY = "a-key-for-the-tests-of-serving"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-model")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        settings.cache_clear()
        yield server


@pytest.fixture
def served(tmp_path: Path, model: ModelServer) -> Iterator[Served]:
    with Served(chat_flow(tmp_path / "support"), keys=(KEY,)) as server:
        yield server


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def _user(text: str) -> Any:
    return {"role": "user", "content": text}


def test_openai_gets_an_answer_with_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="support", messages=[_user("hello there")])
    assert answer.object == "chat.completion"
    assert answer.model == "support"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "echo: hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    assert answer.model_extra == {"outputs": {"turns": 0}}


def test_openai_reads_a_stream_to_its_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="support",
            messages=[_user("one two")],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    parts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [part for part in parts if part] == ["echo:", " one", " two"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_an_answer_that_is_cut_short_says_so(client: openai.OpenAI, model: ModelServer) -> None:
    model.answer = lambda body: Reply("half an", finish_reason="length")
    messages = [_user("x")]
    whole = client.chat.completions.create(model="support", messages=messages)
    assert whole.choices[0].finish_reason == "length"
    *_, last = client.chat.completions.create(model="support", messages=messages, stream=True)
    assert last.choices[0].finish_reason == "length"


async def test_the_async_client_gets_an_answer_and_a_stream(served: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        answer = await client.chat.completions.create(model="support", messages=[_user("hi")])
        assert answer.choices[0].message.content == "echo: hi"
        stream = await client.chat.completions.create(model="support", messages=[_user("hi")], stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "echo: hi"
        assert [m.id async for m in client.models.list()] == ["support"]


def test_earlier_messages_become_the_chat_history(client: openai.OpenAI, model: ModelServer) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be rude."},
        _user("first"),
        {"role": "assistant", "content": "one"},
        _user("second"),
        _user("and a half"),
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "third"}]},
    ]
    answer = client.chat.completions.with_raw_response.create(
        model="support", messages=messages, temperature=0.3
    )
    sent = [(m["role"], m["content"]) for m in model.requests[-1].body["messages"]]
    assert sent == [
        ("system", "You are scripted."),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second\n\nand a half"),
        ("assistant", "two"),
        ("user", "third"),
    ]
    assert answer.headers["x-ignored"] == "messages[0], temperature"


def test_what_follows_the_last_question_is_answered_anew(client: openai.OpenAI, model: ModelServer) -> None:
    messages: list[Any] = [_user("first"), {"role": "assistant", "content": "half an ans"}]
    answer = client.chat.completions.with_raw_response.create(model="support", messages=messages)
    assert [m["content"] for m in model.requests[-1].body["messages"]] == ["You are scripted.", "first"]
    assert answer.headers["x-ignored"] == "messages[1]"


def test_an_input_that_the_flow_does_not_have_is_named_and_not_heard(client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="support", messages=[_user("first")], extra_body={"inputs": {"mood": "kind"}}
    )
    assert answer.headers["x-ignored"] == "inputs.mood"


def test_a_system_message_alone_is_the_question(client: openai.OpenAI, model: ModelServer) -> None:
    messages: list[Any] = [{"role": "system", "content": "say hi"}]
    answer = client.chat.completions.create(model="support", messages=messages)
    assert answer.choices[0].message.content == "echo: say hi"


def test_other_inputs_of_the_flow_come_beside_the_messages(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"inputs\.tone: expected a string"):
        client.chat.completions.create(
            model="support", messages=[_user("x")], extra_body={"inputs": {"tone": ["no"]}}
        )


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["support"]
    assert client.models.retrieve("support").id == "support"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_openai_raises_its_own_errors(client: openai.OpenAI, served: Served, model: ModelServer) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=[_user("x")])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong-key-wrong-key").models.list()
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="support", messages=[])
    assert wrong.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="tools"):
        client.chat.completions.create(
            model="support",
            messages=[_user("x")],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        )
    model.faults.append(Fault.error(401, "invalid_api_key", "Incorrect API key provided: sk-model."))
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="support", messages=[_user("x")])
    assert failed.value.status_code == 502
    assert "sk-model" not in str(failed.value)
    model.faults.append(Fault.error(400, "content_filter", "no"))
    with pytest.raises(openai.BadRequestError) as filtered:
        client.chat.completions.create(model="support", messages=[_user("x")])
    assert filtered.value.code == "content_filter"


def test_a_stream_that_fails_midway_raises_in_the_client(client: openai.OpenAI, model: ModelServer) -> None:
    model.faults.append(Fault(cut_after=3))
    stream = client.chat.completions.create(
        model="support", messages=[_user("one two three four")], stream=True
    )
    with pytest.raises(openai.APIError, match="gave no answer"):
        list(stream)


def test_langchain_chats_streams_and_counts(served: Served) -> None:
    chat = ChatOpenAI(model="support", base_url=f"{served.url}/v1", api_key=SecretStr(KEY))
    answer = chat.invoke([SystemMessage("s"), HumanMessage("a"), AIMessage("b"), HumanMessage("c d")])
    assert answer.content == "echo: c d"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3
    whole = None
    for part in chat.stream("e f", stream_usage=True):
        whole = part if whole is None else whole + part
    assert whole is not None
    assert whole.content == "echo: e f"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 3


def test_score_streams_the_chat_output_first_and_the_rest_last(served: Served) -> None:
    response, text = served.call(
        "POST",
        "/score?nodes=true",
        {"question": "one two"},
        {"accept": "text/event-stream", "authorization": f"Bearer {KEY}"},
    )
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    events = [event.split("\n") for event in text.decode().strip().split("\n\n")]
    data = [json.loads(event[-1].removeprefix("data: ")) for event in events if len(event) == 1]
    assert data == [{"answer": "echo:"}, {"answer": " one"}, {"answer": " two"}, {"turns": 0}]
    nodes = [json.loads(event[1].removeprefix("data: ")) for event in events if event[0] == "event: node"]
    assert {(n["node"], n["status"]) for n in nodes} == {
        ("chat", "Running"),
        ("chat", "Completed"),
        ("count", "Running"),
        ("count", "Completed"),
    }
    assert next(n["tokens"] for n in nodes if n["node"] == "chat" and "tokens" in n) == 8


def test_the_run_is_cancelled_when_the_caller_leaves(served: Served, model: ModelServer) -> None:
    import socket

    model.latency_s = 30
    body = json.dumps({"question": "x"}).encode()
    head = f"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\napi-key: {KEY}\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        until(lambda: model.count > 0)

    def metrics() -> bytes:
        return served.call("GET", "/metrics", headers={"api-key": KEY})[1]

    until(lambda: b'status="499"' in metrics())
    text = metrics()
    assert b'promptflow_requests_total{deployment="support",path="/score",status="499"} 1.0' in text
    assert b'promptflow_in_flight{deployment="support"} 0.0' in text
