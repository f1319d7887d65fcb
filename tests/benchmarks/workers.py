"""What do worker processes gain and cost? A run of one process beside runs of several.

    python tests/benchmarks/workers.py [--workers 1 2 4] [--lines 200] [--work-ms 20] [--rounds 3]

Two flows of one sync Python node each: one computes for `--work-ms` a line, holding the interpreter as Python
does, the other gives its input back. In each round all sides run one after the other, each a process of its
own, its start included. Figures are medians of the rounds: lines a second, how many times those of one
process, and CPU time (workers included) in milliseconds a line.

What to expect: computing goes up with the workers until there are as many as cores; the quick tool only shows
what it costs to send a line to another process and back.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

FLOW = """\
inputs:
  text: {type: string}
outputs:
  said: {type: string, reference: "${say.output}"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {text: "${inputs.text}"}
"""
COMPUTES = """\
import time
from promptflow_lite import tool

@tool
def say(text: str) -> str:
    end = time.thread_time() + {seconds}
    while time.thread_time() < end:
        text = text.upper().lower()
    return text
"""
QUICK = "from promptflow_lite import tool\n\n@tool\ndef say(text: str) -> str:\n    return text\n"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--work-ms", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, {asked.lines} lines, {asked.rounds} rounds\n")
    print("| tool | workers | lines a second | beside one process | CPU ms a line |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.jsonl"
        data.write_text("".join(f'{{"text": "line {number}"}}\n' for number in range(asked.lines)))
        sources = {"computes": COMPUTES.replace("{seconds}", str(asked.work_ms / 1000)), "quick": QUICK}
        for tool, source in sources.items():
            flow = folder / tool
            flow.mkdir()
            (flow / "flow.dag.yaml").write_text(FLOW)
            (flow / "say.py").write_text(source)
            sides = [None, *asked.workers]
            taken: dict[int | None, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(asked.rounds):
                for side in sides:
                    taken[side].append(_run(flow, data, folder / "home", side))
            rates = {side: asked.lines / median(wall for wall, _ in taken[side]) for side in sides}
            for side in sides:
                cpu_ms = 1000 * median(cpu for _, cpu in taken[side]) / asked.lines
                ratio = rates[side] / rates[None]
                print(f"| {tool} | {side or '-'} | {rates[side]:,.0f} | {ratio:.2f} | {cpu_ms:.2f} |")


def _run(flow: Path, data: Path, home: Path, workers: int | None) -> tuple[float, float]:
    """Seconds on the clock and of CPU that one run takes."""
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking"]
    command += ["--flow", str(flow), "--data", str(data)]
    command += [] if workers is None else ["--workers", str(workers)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PF_HOME": str(home)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
