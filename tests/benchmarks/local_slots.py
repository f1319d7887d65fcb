"""How many slots shall the embedded model have? `python -m tests.benchmarks.local_slots --lines 20`.

Short classifications with a long common prompt, as the sample flows make them: one node, then two nodes whose
prompts alternate. A slot keeps the prompt it saw last, so that only what differs is read again.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from promptflow_lite.connections.kinds import LocalConnection
from promptflow_lite.tools.endpoint import Endpoint, endpoint_of
from promptflow_lite.tools.wire import ask

_INTENTS = (
    "card_lost",
    "card_limit",
    "loan_rate",
    "loan_apply",
    "fee",
    "transfer",
    "balance",
    "address",
    "other",
)
_MESSAGES = (
    "I lost my card",
    "how much can I spend",
    "what is the rate",
    "move money to my sister",
    "what do I have",
)


def _prompts(which: int) -> list[dict[str, str]]:
    lines = [
        f"Message {n} of kind {which}: {text}. Intent: {name}"
        for n in range(4)
        for text, name in zip(_MESSAGES, _INTENTS, strict=False)
    ]
    return [
        {"role": "system", "content": f"You sort messages ({which}) into {_INTENTS}.\n" + "\n".join(lines)}
    ]


def _body(model: str, which: int, number: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"intent": {"enum": list(_INTENTS)}}, "required": ["intent"]}
    return {
        "model": model,
        "messages": [
            *_prompts(which),
            {"role": "user", "content": f"{_MESSAGES[number % 5]} (case {number})"},
        ],
        "temperature": 0,
        "max_tokens": 24,
        "response_format": {"type": "json_schema", "json_schema": {"name": "i", "schema": schema}},
    }


async def measure(endpoint: Endpoint, lines: int, in_flight: int, prompts: int) -> str:
    """Calls a second; how much of the prompts was read, and how much was at hand."""
    numbers = iter(range(lines))
    read = cached = 0

    def understand(answer: dict[str, Any]) -> None:
        nonlocal read, cached
        read += answer["timings"]["prompt_n"]
        cached += answer["timings"]["cache_n"]

    async def worker() -> None:
        for number in numbers:
            for which in range(prompts):
                body = _body(str(endpoint.model), which, number)
                await ask(endpoint, "chat/completions", body, understand)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    took = time.perf_counter() - began
    calls = lines * prompts
    return f"{calls / took:6.2f} calls/s, {read / calls:5.0f} tokens read, {cached / calls:5.0f} at hand"


async def run(model: str, lines: int, slots: list[int], flights: list[int]) -> None:
    """Measure each number of slots."""
    for parallel in slots:
        endpoint = await endpoint_of(LocalConnection("local", model=model, parallel=parallel), model)
        for prompts in (1, 2):
            for in_flight in flights:
                figures = await measure(endpoint, lines, in_flight, prompts)
                print(f"{parallel} slots, {in_flight} in flight, {prompts} prompts: {figures}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    asyncio.run(run(options.model, options.lines, options.slots, options.in_flight))


if __name__ == "__main__":
    main()
