"""What was answered once is not asked again, where that is wanted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.errors import PromptflowError
from promptflow_lite.tools.answer import of_chat, text_parts
from promptflow_lite.tools.cache import FILE, Cache, key_of
from promptflow_lite.tools.clients import embed
from promptflow_lite.tools.endpoint import Endpoint, endpoint_of
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.scope import NodeScope, caching, current
from promptflow_lite.tools.wire import ask, stream
from tests.model_server import ModelServer, Reply

KEY = "sk-very-secret-key"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(api_key=KEY) as running:
        yield running


def mine(server: ModelServer) -> OpenAIConnection:
    return OpenAIConnection("mine", api_key=KEY, base_url=server.base_url)


async def say(server: ModelServer, text: str = "hi", *, repeat: int = 0, **parameters: Any) -> NodeScope:
    """Ask as a node does; the node's scope, with what was counted."""
    scope = NodeScope("ask", repeat=repeat)
    token = current.set(scope)
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **parameters}
    try:
        endpoint = await endpoint_of(mine(server))
        said = await ask(endpoint, "chat/completions", body, lambda answer: of_chat(answer, body, scope))
    finally:
        current.reset(token)
    assert said == f"echo: {text}"
    return scope


async def test_nothing_is_kept_unless_it_is_asked_for(server: ModelServer, tmp_path: Path) -> None:
    with caching(""):
        await say(server)
        await say(server)
    assert server.count == 2
    assert not (tmp_path / FILE).exists()


async def test_the_same_is_asked_once_and_counted_once(server: ModelServer, tmp_path: Path) -> None:
    with caching(str(tmp_path)):
        first, second = await say(server), await say(server)
    assert server.count == 1
    assert (first.usage.calls, first.usage.total_tokens, first.usage.reused) == (1, 3, 0)
    assert (second.usage.calls, second.usage.total_tokens, second.usage.reused) == (0, 0, 1)
    assert second.model == "m"


async def test_another_text_parameter_or_repeat_is_another_question(
    server: ModelServer, tmp_path: Path
) -> None:
    with caching(str(tmp_path)):
        for _ in range(2):
            await say(server)
            await say(server, "ho")
            await say(server, temperature=1.0)
            await say(server, repeat=1)
    assert server.count == 4


async def test_who_asks_the_same_at_once_waits_for_the_one_answer(
    server: ModelServer, tmp_path: Path
) -> None:
    server.latency_s = 0.1
    with caching(str(tmp_path)):
        scopes = await asyncio.gather(*(say(server) for _ in range(10)))
    assert server.count == 1
    assert sum(scope.usage.reused for scope in scopes) == 9


async def test_who_waits_asks_himself_when_the_first_one_is_cancelled(
    server: ModelServer, tmp_path: Path
) -> None:
    server.latency_s = 0.2
    with caching(str(tmp_path)):
        first = asyncio.create_task(say(server))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(say(server))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).usage.calls == 1


async def test_a_refusal_is_not_kept(server: ModelServer, tmp_path: Path) -> None:
    server.answer = lambda body: Reply(None, refusal="no")
    with caching(str(tmp_path)):
        with pytest.raises(ModelError, match="refused"):
            await say(server)
        server.answer = lambda body: Reply("echo: hi")
        assert (await say(server)).usage.calls == 1


async def test_a_stream_comes_again_in_its_parts(server: ModelServer, tmp_path: Path) -> None:
    body: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "one two"}],
        "stream": True,
    }
    body["stream_options"] = {"include_usage": True}
    scope = NodeScope("ask")

    async def parts() -> list[str]:
        token = current.set(scope)
        try:
            events = stream(await endpoint_of(mine(server)), "chat/completions", body)
            return [part async for part in text_parts(events, body, scope)]
        finally:
            current.reset(token)

    with caching(str(tmp_path)):
        first, second = await parts(), await parts()
    assert first == second == ["echo:", " one", " two"]
    assert server.count == 1
    assert (scope.usage.calls, scope.usage.reused) == (1, 1)


async def test_embeddings_are_kept_too(server: ModelServer, tmp_path: Path) -> None:
    with caching(str(tmp_path)):
        first, second = await embed(mine(server), ["abc"], "e"), await embed(mine(server), ["abc"], "e")
    assert first == second
    assert server.count == 1


async def test_the_file_holds_no_secret_and_is_the_users_alone(server: ModelServer, tmp_path: Path) -> None:
    with caching(str(tmp_path / "cache")):
        await say(server)
    for file in (tmp_path / "cache").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
        assert KEY.encode() not in file.read_bytes()


async def test_what_is_kept_is_shown_exported_and_forgotten(server: ModelServer, tmp_path: Path) -> None:
    with caching(str(tmp_path)):
        for text in ("a", "b", "a"):
            await say(server, text)
    cache = Cache(tmp_path / FILE)
    [totals] = cache.totals()
    assert (totals.model, totals.answers, totals.tokens, totals.hits, totals.tokens_saved) == (
        "m",
        2,
        6,
        1,
        3,
    )
    kept = list(cache.each())
    assert [k.request["messages"][0]["content"] for k in kept] == ["a", "b"]
    assert kept[0].answer["choices"][0]["message"]["content"] == "echo: a"
    assert cache.clear(older_than_s=3600) == 0
    assert cache.clear(model="other") == 0
    assert cache.clear() == 2
    assert cache.totals() == []
    cache.close()


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    script = (
        "import sys; from datetime import timedelta; from pathlib import Path\n"
        "from promptflow_lite.tools.cache import Cache\n"
        "from promptflow_lite.tools.endpoint import Endpoint\n"
        "cache = Cache(Path(sys.argv[1]))\n"
        "here = Endpoint('x', 'http://x', {}, (), timedelta(seconds=1))\n"
        "for n in range(200):\n"
        "    cache.put(f'{n}-{int(sys.argv[2]) % 2}', here, {'model': 'm'}, {'n': n})\n"
    )
    path = tmp_path / FILE
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), str(n)]) for n in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    cache = Cache(path)
    assert len(list(cache.each())) == 400
    cache.close()


def test_the_embedded_models_answers_are_found_again_at_its_next_port() -> None:
    def key(base_url: str, model: str | None) -> str:
        where = Endpoint("x", base_url, {}, (), timedelta(seconds=1), model=model)
        return key_of(where, "chat/completions", {"model": "m"})

    assert key("http://127.0.0.1:1/v1", "qwen") == key("http://127.0.0.1:2/v1", "qwen")
    assert key("http://127.0.0.1:1/v1", None) != key("http://127.0.0.1:2/v1", None)


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, and long enough to be read as one" * 20)
    with pytest.raises(PromptflowError) as caught:
        Cache(tmp_path / FILE).get("x")
    assert caught.value.code == "bad-cache"
