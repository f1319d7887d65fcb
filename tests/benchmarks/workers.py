"""What do worker processes gain and cost? One process beside several, and beside plain Python processes.

    python tests/benchmarks/workers.py [--workers 1 2 4] [--lines 200] [--work-ms 20] [--rounds 3]

Two flows of one sync Python node each: one computes for `--work-ms` of CPU a line, holding the interpreter as
Python does, the other gives its input back. In each round all sides run one after the other, each a process
of its own: `pf run create` without and with workers, and for the tool that computes as many plain Python
processes, which share the lines and do nothing but the work: what the machine had to give at that time.
Figures are medians of the rounds: seconds of the whole command, lines a second from the first line's start to
the last one's end, how many times those of one process and of as many plain ones, and CPU time (workers
included) in milliseconds a line.

What to expect: computing goes up with the workers until there are as many as cores, and stays near the plain
processes also on a machine that has other work; the quick tool only shows what it costs to send a line to
another process and back.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]

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
    print(
        "| tool | workers | s in all | lines a second | beside one process | beside plain | CPU ms a line |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
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
            _compare(tool, flow, data, asked)


def _compare(tool: str, flow: Path, data: Path, asked: argparse.Namespace) -> None:
    sides = [None, *asked.workers]
    taken: dict[int | None, list[Taken]] = {side: [] for side in sides}
    plain: dict[int, list[float]] = {side or 1: [] for side in sides}
    for _ in range(asked.rounds):
        for side in sides:
            taken[side].append(_run(flow, data, data.parent / "home", side))
            if tool == "computes":
                plain[side or 1].append(asked.lines / _plain(flow, asked.lines, side or 1))
    rates = {side: median(one.rate for one in taken[side]) for side in sides}
    for side in sides:
        seconds = median(one.seconds for one in taken[side])
        cpu_ms = 1000 * median(one.cpu_s for one in taken[side]) / asked.lines
        beside = f"{rates[side] / median(plain[side or 1]):.2f}" if plain[side or 1] else "-"
        shares = f"{rates[side] / rates[None]:.2f} | {beside} | {cpu_ms:.2f}"
        print(f"| {tool} | {side or '-'} | {seconds:.1f} | {rates[side]:,.0f} | {shares} |", flush=True)


@dataclass(frozen=True)
class Taken:
    """What one run took."""

    seconds: float
    rate: float
    """Lines a second, from the first one's start to the last one's end."""
    cpu_s: float


def _run(flow: Path, data: Path, home: Path, workers: int | None) -> Taken:
    shutil.rmtree(home, ignore_errors=True)
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking", "--name", "run"]
    command += ["--flow", str(flow), "--data", str(data)]
    command += [] if workers is None else ["--workers", str(workers)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,  # as workers have: a busy Linux shares its time among sessions
        env={**os.environ, "PF_HOME": str(home)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}")
    with (home / "runs" / "run" / "lines.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    span_s = max(one["started"] + one["seconds"] for one in lines) - min(one["started"] for one in lines)
    return Taken(seconds, len(lines) / span_s, usage.ru_utime + usage.ru_stime)


PLAIN = """\
import sys
sys.path[:0] = sys.argv[1:3]
from say import say
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    say(f"line {number}")
"""


def _plain(flow: Path, lines: int, count: int) -> float:
    """Seconds in which so many plain processes do the lines, from when all are ready."""
    shares = [lines // count + (number < lines % count) for number in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PLAIN, str(ROOT), str(flow), str(share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for share in shares
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.wait()
    seconds = time.perf_counter() - began
    for process in processes:
        process.communicate()
    return seconds


if __name__ == "__main__":
    main()
