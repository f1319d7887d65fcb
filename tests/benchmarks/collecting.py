"""What does it cost a request to be kept? `pf flow serve` with and without `--collect`, side by side.

    python -m tests.benchmarks.collecting [--clients 16] [--seconds 2] [--rounds 9]

Three servers of the same flow of one llm node: nothing kept, every tenth request, every one. The sides take
turns of a few seconds, their order turned round each time; a round's ratio is of sides that were measured
within seconds of each other, and the figure is the median of those ratios. CPU is that of the server's
process, user and system, the writing thread's included. Target: to keep all costs at most 3 % more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.serving import Side, free_port, load, prepare, process

SIDES = {
    "nothing kept": [],
    "1 of 10 kept": ["--collect", "KEPT", "--sampling-rate", "0.1"],
    "all kept": ["--collect", "KEPT"],
}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pf-collecting-") as folder, contextlib.ExitStack() as stack:
        work, model_port = Path(folder), free_port()
        model = [sys.executable, "-m", "tests.model_server", "--port", str(model_port)]
        stack.enter_context(process(model, dict(os.environ), model_port))
        prepare(work, f"http://127.0.0.1:{model_port}")
        environ = dict(os.environ) | {"PF_HOME": str(work / "home")}
        sides = []
        for name, options in SIDES.items():
            port = free_port()
            kept = [option.replace("KEPT", str(work / f"kept-{port}")) for option in options]
            serve = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--port", str(port)]
            command = [*serve, "--source", str(work / "flow"), *kept]
            pid = stack.enter_context(process(command, environ, port))
            sides.append(Side(name, port, pid))
        show(sides, arguments)


def show(sides: list[Side], arguments: argparse.Namespace) -> None:
    """Take turns, and print medians."""
    for side in sides:
        asyncio.run(load(side, arguments.clients, 1.0))
    cpu: dict[str, list[float]] = {side.name: [] for side in sides}
    rate: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(arguments.rounds):
        for side in sides if number % 2 else reversed(sides):
            found = asyncio.run(load(side, arguments.clients, arguments.seconds))
            cpu[side.name].append(found.cpu_ms)
            rate[side.name].append(found.rate)
    bare = cpu[sides[0].name]
    print("| server | requests/s | CPU ms/request | to nothing kept |\n|---|--:|--:|--:|")
    for side in sides:
        ratio = statistics.median(own / other for own, other in zip(cpu[side.name], bare, strict=True))
        figures = f"{statistics.median(rate[side.name]):.0f} | {statistics.median(cpu[side.name]):.3f}"
        print(f"| {side.name} | {figures} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
