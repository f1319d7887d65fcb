"""What does the engine cost a node? Chains of async and of sync tools that do nothing, beside bare asyncio.

    python tests/benchmarks/engine_overhead.py [--rounds 15] [--lines 400] [--output json]

CPU time of the process (user and system), median over rounds in which every case takes its turn. The floors:
a chain of awaited coroutines with a record a step (`bare await`), a task a step (`bare task`), and a step in
a thread pool with copied context (`bare thread`). Targets: 5 us a node async, 35 us sync, and a chain of 100
at most 1.2 times a chain of 10 a node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from promptflow_lite.engine.line import run_line
from promptflow_lite.flow.load import load_flow
from promptflow_lite.tools.bind import bind
from promptflow_lite.tools.tool import BoundFlow

LENGTHS = (10, 100)
TARGET_US = {"async": 5.0, "sync": 35.0}
TARGET_GROWTH = 1.2

ASYNC_TOOL = "from promptflow_lite import tool\n\n\n@tool\nasync def step(x: int) -> int:\n    return x + 1\n"
SYNC_TOOL = ASYNC_TOOL.replace("async def", "def")

Line = Callable[[], Awaitable[object]]


class NoConnections:
    """A provider that has none."""

    def get(self, name: str) -> object:
        raise KeyError(name)

    def names(self) -> list[str]:
        return []


def chain(folder: Path, length: int, tool: str) -> BoundFlow:
    """A flow of `length` nodes, each reading the one before."""
    folder.mkdir()
    (folder / "step.py").write_text(tool, encoding="utf-8")
    nodes = [
        f"- name: n{i}\n  type: python\n  source: {{type: code, path: step.py}}\n"
        f'  inputs: {{x: "${{{f"n{i - 1}.output" if i else "inputs.x"}}}"}}\n'
        for i in range(length)
    ]
    (folder / "flow.dag.yaml").write_text(
        "inputs:\n  x: {type: int}\n"
        f'outputs:\n  x: {{type: int, reference: "${{n{length - 1}.output}}"}}\n'
        f"nodes:\n{''.join(nodes)}",
        encoding="utf-8",
    )
    return bind(load_flow(folder), NoConnections())  # type: ignore[arg-type]  # gives no connection


@dataclass
class Record:
    """What the floors keep of a step."""

    name: str
    inputs: dict[str, int]
    output: int
    seconds: float


async def add(x: int) -> int:
    """The step of the floors."""
    return x + 1


def bare(length: int, kind: str) -> Line:
    """A chain in plain asyncio, with a record a step."""

    async def line() -> list[Record]:
        x, records = 0, []
        for i in range(length):
            began = time.perf_counter()
            if kind == "await":
                output = await add(x)
            elif kind == "task":
                output = await asyncio.create_task(add(x))
            else:
                output = await asyncio.to_thread(int, x + 1)
            records.append(Record(f"n{i}", {"x": x}, output, time.perf_counter() - began))
            x = output
        return records

    return line


def ours(bound: BoundFlow) -> Line:
    """A line of the flow."""

    async def line() -> object:
        result = await run_line(bound, {"x": 0})
        assert result.outputs == {"x": len(bound.nodes)}, result.error
        return result

    return line


async def cpu_us(line: Line, *, lines: int, length: int) -> float:
    """CPU microseconds a node, over `lines` lines one after the other."""
    began = time.process_time()
    for _ in range(lines):
        await line()
    return (time.process_time() - began) / (lines * length) * 1e6


async def measure(folder: Path, *, rounds: int, lines: int) -> dict[str, dict[int, float]]:
    """Median CPU microseconds a node by case and length of the chain."""
    cases: dict[tuple[str, int], Line] = {}
    for length in LENGTHS:
        cases["async", length] = ours(chain(folder / f"async{length}", length, ASYNC_TOOL))
        cases["sync", length] = ours(chain(folder / f"sync{length}", length, SYNC_TOOL))
        for kind in ("await", "task", "thread"):
            cases[f"bare {kind}", length] = bare(length, kind)
    taken: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for round_number in range(rounds + 1):
        for (name, length), line in cases.items():
            count = max(1, lines * LENGTHS[0] // length // (4 if name in ("sync", "bare thread") else 1))
            us = await cpu_us(line, lines=count, length=length)
            if round_number:  # the first round warms up
                taken[name, length].append(us)
    result: dict[str, dict[int, float]] = {}
    for (name, length), values in taken.items():
        result.setdefault(name, {})[length] = round(median(values), 2)
    return result


def table(result: dict[str, dict[int, float]]) -> str:
    """The result for people."""
    rows = [f"{'CPU us a node':<14}" + "".join(f"{f'chain of {n}':>14}" for n in LENGTHS) + f"{'target':>10}"]
    for name, by_length in result.items():
        figures = "".join(f"{by_length[n]:>14.2f}" for n in LENGTHS)
        target = f"{TARGET_US[name]:>10g}" if name in TARGET_US else ""
        rows.append(f"{name:<14}{figures}{target}")
    for name in TARGET_US:
        growth = result[name][LENGTHS[1]] / result[name][LENGTHS[0]]
        rows.append(
            f"{name}: a chain of 100 is {growth:.2f} times a chain of 10 a node (target {TARGET_GROWTH})"
        )
    return "\n".join(rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--lines", type=int, default=400, help="lines of the short async chain a round")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(Path(folder), rounds=options.rounds, lines=options.lines))
    print(json.dumps(result, indent=2) if options.output == "json" else table(result))
    met = all(figure <= TARGET_US[name] for name in TARGET_US for figure in result[name].values())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
