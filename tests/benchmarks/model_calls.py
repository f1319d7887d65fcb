"""CPU a call of an llm node, beside the openai client's: `python -m tests.benchmarks.model_calls --calls N`.

The model is `tests.model_server` in a process of its own (50 ms an answer); 64 calls are in flight. "wire" is
`tools.wire.ask` alone, "node" the whole tool of an llm node: template, request, answer, tokens counted.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai

from promptflow_lite.connections.kinds import OpenAIConnection
from promptflow_lite.connections.store import Given
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools import llm
from promptflow_lite.tools.endpoint import endpoint_of
from promptflow_lite.tools.scope import NodeScope, current
from promptflow_lite.tools.tool import Tool
from promptflow_lite.tools.wire import ask

_FLOW = """\
inputs: {text: {type: string}}
outputs: {label: {type: string, reference: "${classify.output}"}}
nodes:
- name: classify
  type: llm
  source: {type: code, path: classify.jinja2}
  connection: model
  inputs: {model: scripted, temperature: 0, max_tokens: 16, text: "${inputs.text}"}
"""
_PROMPT = "system:\nSay which of the intents the message has: card, loan, rate, other.\nuser:\n{{ text }}\n"

Call = Callable[[int], Awaitable[Any]]


async def measure(name: str, call: Call, calls: int, in_flight: int) -> None:
    """Print the CPU and the rate of `calls` calls."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as warm:
        for number in range(in_flight):
            warm.create_task(_once(call, number))
    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    print(f"{name:<12} {cpu / calls * 1e6:8.0f} CPU µs a call {calls / took:8.0f} calls/s", flush=True)


async def _once(call: Call, number: int) -> None:
    await call(number)


async def run(url: str, calls: int, in_flight: int) -> None:
    """Measure each way to ask."""
    connection = OpenAIConnection("model", api_key="sk-bench", base_url=f"{url}/v1")
    endpoint = await endpoint_of(connection)
    messages = [
        {"role": "system", "content": _PROMPT},
        {"role": "user", "content": "what is my card's limit?"},
    ]
    body = {"model": "scripted", "messages": messages, "temperature": 0.0, "max_tokens": 16}
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-bench", max_retries=0)
    tool = _tool(connection)

    async def wire(number: int) -> None:
        await ask(
            endpoint, "chat/completions", body, lambda answer: answer["choices"][0]["message"]["content"]
        )

    async def node(number: int) -> None:
        token = current.set(NodeScope("classify"))
        await tool.call(model="scripted", temperature=0.0, max_tokens=16, text=f"limit of card {number}?")
        current.reset(token)

    async def package(number: int) -> None:
        await client.chat.completions.create(**body)  # type: ignore[call-overload]  # as a user's dict

    for name, call in (("openai", package), ("wire", wire), ("node", node)) * 2:
        await measure(name, call, calls, in_flight)
    await client.close()


def _tool(connection: OpenAIConnection) -> Tool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "flow.dag.yaml").write_text(_FLOW, encoding="utf-8")
        Path(folder, "classify.jinja2").write_text(_PROMPT, encoding="utf-8")
        flow = load_flow(folder)
        return llm.make(flow.nodes[0], flow, Given({"model": connection})).tool


def main() -> None:
    """Start the model server and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    command = [sys.executable, "-m", "tests.model_server", "--latency-ms", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            asyncio.run(run(server.stdout.readline().strip(), options.calls, options.in_flight))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
