"""What does a request to a served flow cost? Beside bare handlers, and the original where it is given.

    python -m tests.benchmarks.serving [--clients 1 16 64] [--delays 0 50] [--seconds 4] [--rounds 3]
        [--original ENV/bin/pf [--engine fastapi]] [--streams 1 16]

A flow of one llm node, served by `pf flow serve`; the same prompt in a FastAPI handler over `AsyncOpenAI` and
over aiohttp, each on uvicorn; and the original's `pf flow serve`, each in a process of its own, one worker.
The model is `tests.model_server` in another process. Clients keep their connection and ask again as soon as
they are answered. The sides take turns, figures are medians over the rounds. CPU is that of the server's
processes, user and system. Targets: at most 0.6 CPU ms a request, at least 0.85 of FastAPI and aiohttp's
rate, and the first token at most 4 ms after the model's at one stream, 12 at 16.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOW = """\
inputs: {question: {type: string, is_chat_input: true}}
outputs: {answer: {type: string, reference: "${chat.output}", is_chat_output: true}}
nodes:
- name: chat
  type: llm
  source: {type: code, path: chat.jinja2}
  api: chat
  connection: bench
  inputs: {model: scripted, temperature: 0, max_tokens: 16, question: "${inputs.question}"}
"""
PROMPT = "system:\nAnswer in one word.\nuser:\n{{question}}\n"
BARE = """\
import os, sys
from contextlib import asynccontextmanager
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

kind, url, port = sys.argv[1:]
state = {}


@asynccontextmanager
async def lifespan(app):
    if kind == "openai":
        import openai
        state["client"] = openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
        yield
    else:
        import aiohttp
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": "Bearer k"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            state["client"] = session
            yield


app = FastAPI(lifespan=lifespan)


class Inputs(BaseModel):
    question: str


def body(question, stream):
    messages = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": question}]
    made = {"model": "scripted", "messages": messages, "temperature": 0, "max_tokens": 16}
    return made | ({"stream": True} if stream else {})


async def parts(question):
    import orjson
    if kind == "openai":
        async for event in await state["client"].chat.completions.create(**body(question, True)):
            if event.choices and event.choices[0].delta.content:
                yield b"data: " + orjson.dumps({"answer": event.choices[0].delta.content}) + b"\\n\\n"
        return
    async with state["client"].post(url + "/v1/chat/completions", json=body(question, True)) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = orjson.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    yield b"data: " + orjson.dumps({"answer": choices[0]["delta"]["content"]}) + b"\\n\\n"


@app.post("/score")
async def score(inputs: Inputs, request: Request):
    if request.headers.get("accept") == "text/event-stream":
        return StreamingResponse(parts(inputs.question), media_type="text/event-stream")
    if kind == "openai":
        answer = await state["client"].chat.completions.create(**body(inputs.question, False))
        return {"answer": answer.choices[0].message.content}
    asked = body(inputs.question, False)
    async with state["client"].post(url + "/v1/chat/completions", json=asked) as answer:
        return {"answer": (await answer.json())["choices"][0]["message"]["content"]}


uvicorn.run(app, port=int(port), log_level="error", access_log=False, http="httptools", loop="asyncio")
"""
RING = '''\
from pathlib import Path
from keyring.backend import KeyringBackend


class Ring(KeyringBackend):
    """A keyring in a file of the benchmark's folder, for machines that have none."""

    priority = 1
    file = Path(__file__).with_name("ring.txt")

    def get_password(self, service, name):
        return self.file.read_text() if self.file.exists() else None

    def set_password(self, service, name, password):
        self.file.write_text(password)
'''


@dataclass(frozen=True)
class Side:
    """One server."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Measured:
    """What one turn of a side gave."""

    rate: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@contextlib.contextmanager
def process(command: Sequence[str], environ: dict[str, str], port: int) -> Iterator[int]:
    """A server's process, once it listens; ended after."""
    started = subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if started.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of those it started."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = 0.0
    pids = [pid]
    while pids:
        at = pids.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{at}/stat").read_text().rpartition(")")[2].split()
            used += (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / ticks
            for task in Path(f"/proc/{at}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
    return used


def request(stream: bool, path: str = "/score") -> bytes:
    """The bytes of a request."""
    body = json.dumps({"question": "what is my card's limit?"}).encode()
    accept = "text/event-stream" if stream else "application/json"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: {accept}\r\n"
    )
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def client(port: int, until: float, took: list[float]) -> None:
    """Ask, read, ask again."""
    data = request(False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(head.decode())
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append(time.perf_counter() - began)
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def first_part(port: int, data: bytes, until: float, took: list[float]) -> None:
    """Ask for a stream, note when its first text comes, read it to its end, ask again."""
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.perf_counter()
        writer.write(data)
        seen = b""
        while b"echo" not in seen:
            part = await reader.read(65536)
            if not part:
                raise RuntimeError(seen.decode())
            seen += part
        took.append(time.perf_counter() - began)
        while not seen.endswith(b"0\r\n\r\n"):
            part = await reader.read(65536)
            if not part:
                break
            seen += part
        writer.close()


async def load(side: Side, clients: int, seconds: float) -> Measured:
    """One turn of a side."""
    took: list[float] = []
    began, cpu = time.perf_counter(), cpu_of(side.pid)
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client(side.port, began + seconds, took))
    spent, lasted = cpu_of(side.pid) - cpu, time.perf_counter() - began
    took.sort()
    return Measured(
        len(took) / lasted,
        spent / len(took) * 1000,
        took[len(took) // 2] * 1000,
        took[int(len(took) * 0.99)] * 1000,
    )


async def stream(port: int, data: bytes, streams: int, seconds: float) -> float:
    """The median time to the first token, in milliseconds."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(first_part(port, data, until, took))
    return statistics.median(took) * 1000


def prepare(folder: Path, url: str) -> None:
    """A flow, a connection and the bare handlers."""
    (folder / "flow").mkdir()
    (folder / "flow" / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
    (folder / "flow" / "chat.jinja2").write_text(PROMPT, encoding="utf-8")
    (folder / "home" / "connections").mkdir(parents=True)
    (folder / "home" / "connections" / "bench.yaml").write_text(
        f"type: open_ai\nbase_url: {url}/v1\napi_key: k\n", encoding="utf-8"
    )
    (folder / "bare.py").write_text(BARE, encoding="utf-8")


@contextlib.contextmanager
def original(folder: Path, arguments: argparse.Namespace, url: str, port: int) -> Iterator[int]:
    """The original's `pf flow serve`."""
    pf = arguments.original
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / "bench_ring.py").write_text(RING, encoding="utf-8")
    environ = dict(os.environ) | {
        "PF_HOME_DIRECTORY": str(folder / "original"),
        "PF_DISABLE_TRACING": "true",
        "PYTHON_KEYRING_BACKEND": "bench_ring.Ring",
        "PYTHONPATH": str(folder / "lib"),
        "PYTHONWARNINGS": "ignore",
    }
    (folder / "original").mkdir(exist_ok=True)
    connection = folder / "bench.yaml"
    connection.write_text(f"name: bench\ntype: open_ai\nbase_url: {url}/v1\napi_key: k\n", encoding="utf-8")
    for asked in (
        ["config", "set", "telemetry.enabled=false"],
        ["connection", "create", "-f", str(connection)],
    ):
        subprocess.run([pf, *asked], env=environ, check=True, stdout=subprocess.DEVNULL)
    command = [pf, "flow", "serve", "--source", str(folder / "flow"), "--port", str(port)]
    with process([*command, "--skip-open-browser", "--engine", arguments.engine], environ, port) as pid:
        yield pid


def measure(arguments: argparse.Namespace, folder: Path, delay: int) -> None:
    """One table."""
    model_port = free_port()
    model = [
        sys.executable,
        "-m",
        "tests.model_server",
        "--port",
        str(model_port),
        "--latency-ms",
        str(delay),
    ]
    url = f"http://127.0.0.1:{model_port}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(process(model, dict(os.environ), model_port))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        prepare(work, url)
        sides = []
        environ = dict(os.environ) | {"PF_HOME": str(work / "home")}
        port = free_port()
        command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--source", str(work / "flow")]
        pid = stack.enter_context(process([*command, "--port", str(port)], environ, port))
        sides.append(Side("pf flow serve", port, pid))
        for kind, name in (("openai", "FastAPI + AsyncOpenAI"), ("aiohttp", "FastAPI + aiohttp")):
            port = free_port()
            command = [sys.executable, str(work / "bare.py"), kind, url, str(port)]
            sides.append(Side(name, port, stack.enter_context(process(command, environ, port))))
        if arguments.original:
            port = free_port()
            pid = stack.enter_context(original(work, arguments, url, port))
            sides.append(Side("original", port, pid))
        show(arguments, delay, sides, model_port)


def show(arguments: argparse.Namespace, delay: int, sides: Sequence[Side], model_port: int) -> None:
    """Measure and print."""
    print(f"\nmodel delay {delay} ms\n")
    print("| server | clients | requests/s | CPU ms/request | p50 ms | p99 ms | rate to FastAPI + aiohttp |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for side in sides:
        asyncio.run(load(side, 4, 0.5))
    for clients in arguments.clients:
        turns: dict[str, list[Measured]] = {side.name: [] for side in sides}
        for _ in range(arguments.rounds):
            for side in sides:
                turns[side.name].append(asyncio.run(load(side, clients, arguments.seconds)))
        middle = {
            name: Measured(
                *(
                    statistics.median(getattr(t, field) for t in found)
                    for field in ("rate", "cpu_ms", "p50_ms", "p99_ms")
                )
            )
            for name, found in turns.items()
        }
        limit = middle["FastAPI + aiohttp"].rate
        for name, m in middle.items():
            figures = (
                f"{m.rate:.0f} | {m.cpu_ms:.2f} | {m.p50_ms:.1f} | {m.p99_ms:.1f} | {m.rate / limit:.2f}"
            )
            print(f"| {name} | {clients} | {figures} |", flush=True)
    print("\n| time to the first token, ms | " + " | ".join(f"{n} streams" for n in arguments.streams) + " |")
    print("|---|" + "--:|" * len(arguments.streams))
    body = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "what is it?"}]}
    text = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    direct = head + b"content-length: %d\r\n\r\n" % len(text) + text
    asked = [("the model itself", model_port, direct)]
    asked += [(side.name, side.port, request(True)) for side in sides]
    firsts: dict[str, list[list[float]]] = {name: [[] for _ in arguments.streams] for name, _, _ in asked}
    for _ in range(arguments.rounds):
        for at, streams in enumerate(arguments.streams):
            for name, port, data in asked:
                firsts[name][at].append(asyncio.run(stream(port, data, streams, arguments.seconds)))
    for name, found in firsts.items():
        print(f"| {name} | " + " | ".join(f"{statistics.median(each):.1f}" for each in found) + " |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 50])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--original", help="the original's pf, in an environment of its own")
    parser.add_argument("--engine", default="flask", choices=("flask", "fastapi"), help="the original's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pf-serving-") as folder:
        for delay in arguments.delays:
            measure(arguments, Path(folder), delay)


if __name__ == "__main__":
    main()
