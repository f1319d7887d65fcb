"""A flow as a tool of the Model Context Protocol: a real client, over HTTP and over stdin and stdout."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from promptflow_lite.serving.keys import hashed
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.model_server import ModelServer
from tests.serving.served import Served, chat_flow
from tests.waiting import until

mcp = pytest.importorskip("mcp")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

BROKEN = ECHO_TOOL.replace("text * times", 'int("/a/path/of/the/server")')


SLOW = """\
import asyncio
from pathlib import Path
from promptflow_lite import tool


@tool
async def echo(text: str, times: int) -> str:
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        Path(MARK).write_text("cancelled")
        raise
    return "slow"
"""


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)


@asynccontextmanager
async def client(server: Served, key: str = "") -> AsyncIterator[Any]:
    """A client of the package `mcp`."""
    from mcp.client.streamable_http import streamable_http_client

    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with mcp.Client(transport) as made:
            yield made


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else 1


async def test_a_client_finds_the_flow_with_its_schema_and_calls_it(echo: Path) -> None:
    with Served(echo, mcp=True) as server:
        async with client(server) as made:
            (tool,) = (await made.list_tools()).tools
            assert tool.name == "echo"
            assert tool.input_schema["required"] == ["text"]
            assert tool.input_schema["properties"]["text"]["type"] == "string"
            result = await made.call_tool("echo", {"text": "hi"})
            assert not result.is_error
            assert result.structured_content == {"text": "hi"}
            assert result.content[0].text == "hi"


async def test_progress_is_told_node_by_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    with ModelServer() as models:
        monkeypatch.setenv("OPENAI_BASE_URL", models.url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-real-key")
        with Served(chat_flow(tmp_path / "chat"), mcp=True) as server:
            async with client(server) as made:
                (tool,) = (await made.list_tools()).tools
                turn = tool.input_schema["properties"]["chat_history"]["items"]
                assert turn["required"] == ["inputs", "outputs"]
                result = await made.call_tool("chat", {"question": "hello"}, progress_callback=hear)
    assert not result.is_error
    assert result.content[0].text == result.structured_content["answer"]
    assert "secret_score" not in result.structured_content
    assert [(done, total) for done, total, _ in told] == [(1, 2), (2, 2)]
    assert {str(message).partition(":")[0] for *_, message in told} == {"chat", "count"}


async def test_errors_are_the_tools_and_say_nothing_of_the_server(tmp_path: Path, echo: Path) -> None:
    with Served(echo, mcp=True) as server:
        async with client(server) as made:
            wrong = await made.call_tool("echo", {"text": 3})
            assert wrong.is_error
            assert "inputs.text: expected a string, got 3" in wrong.content[0].text
            missing = await made.call_tool("echo", {})
            assert missing.is_error
            assert "text" in missing.content[0].text
            for value in ({"data:image/png;path": "/etc/hostname"}, [{"image_file": "x.png"}], _deep(70)):
                refused = await made.call_tool("echo", {"text": "hi", "more": value})
                assert refused.is_error
                assert refused.content[0].text.startswith(("image-by-path", "too-deep"))
            with pytest.raises(mcp.MCPError):
                await made.call_tool("ech", {"text": "hi"})
    with Served(write(tmp_path / "broken", dag=ECHO, echo__py=BROKEN), mcp=True) as server:
        async with client(server) as made:
            failed = await made.call_tool("broken", {"text": "hi"})
            assert failed.is_error
            assert "/a/path" not in failed.content[0].text


async def test_the_door_is_the_same_for_mcp(echo: Path) -> None:
    with Served(echo, mcp=True, keys=(hashed("a-key-of-ours"),)) as server:
        response, _ = server.call("POST", "/mcp", {})
        assert response.status == 401
        async with client(server, "a-key-of-ours") as made:
            assert not (await made.call_tool("echo", {"text": "hi"})).is_error
        key = {"authorization": "Bearer a-key-of-ours"}
        response, body = server.call("POST", "/mcp", b"[" * 5000, {**key, "content-type": "application/json"})
        assert response.status in (400, 406)
        assert b"Traceback" not in body
        assert server.call("GET", "/mcp", None, key)[0].status == 405
        plain = {**key, "content-type": "text/plain"}
        assert server.call("POST", "/mcp", b"{}", plain)[0].status == 415
    with Served(echo) as server:
        assert server.call("POST", "/mcp", {})[0].status == 404


def test_a_caller_that_leaves_cancels_the_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    slow = SLOW.replace("MARK", repr(str(mark)))
    call = {"name": "echo", "arguments": {"text": "a"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
    head = "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json, text/event-stream\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with Served(write(tmp_path / "echo", dag=ECHO, echo__py=slow), mcp=True) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: b'in_flight{deployment="echo"} 1.0' in server.call("GET", "/metrics")[1])
        until(mark.exists)
    assert mark.read_text() == "cancelled"


async def test_a_client_starts_the_flow_itself_over_stdio(tmp_path: Path) -> None:
    source = write(tmp_path / "noisy", dag=ECHO, echo__py=ECHO_TOOL + "\nprint('loaded')\n")
    args = ["-m", "promptflow_lite", "flow", "serve", "--source", str(source), "--mcp", "--stdio"]
    kept = tmp_path / "kept"
    parameters = mcp.StdioServerParameters(
        command=sys.executable, args=[*args, "--collect", str(kept)], env=dict(os.environ)
    )
    with (tmp_path / "errors").open("w") as errors:
        async with mcp.Client(mcp.stdio_client(parameters, errlog=errors)) as made:
            (tool,) = (await made.list_tools()).tools
            result = await made.call_tool(tool.name, {"text": "hi"})
            assert result.structured_content == {"text": "hi"}
    (file,) = [file for file in kept.rglob("*.jsonl") if file.name != "feedback.jsonl"]
    assert json.loads(file.read_text())["inputs"] == {"text": "hi"}
