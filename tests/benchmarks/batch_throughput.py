"""How many lines a second does a run do? Beside a bare asyncio loop that sends the same requests.

    python tests/benchmarks/batch_throughput.py [--data ../shared/data/clinc150/test.jsonl] [--lines 5500]
        [--in-flight 16 64 256] [--latency-ms 50] [--rounds 3] [--output json]

A flow of one llm node over CLINC150's test part (any JSON Lines file with `utterance` will do), against a
scripted model server in a process of its own. `ours` is everything that `pf run create` does except
telling MLflow: it reads and checks the data, maps it, journals and fsyncs every line, writes the outputs.
`bare` is a loop over aiohttp that builds the same requests, sends them and keeps the texts in a list. Each
side is a process of its own, imports included, the sides take turns, and figures are medians: lines a
second, CPU time of the process (user and system) in milliseconds a line, peak memory. Targets: at least
half of the bare loop's rate, aimed at 0.90 at 16 and 64 in flight and 0.75 at 256, at most 0.35 CPU ms a
line and 80 MB.

Last, 100, 1,000 and 10,000 lines of a flow without a model. Targets: 10,000 lines at 8,000 lines a second or
more, start of the process included; CPU time of an added line not growing; memory within 20 MB of the 100
lines'; at most 10 files.

Byte code is compiled before, as it is from the second run on: a round that is not counted goes first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "Name the intent of the customer's message in one word."
KEY = "not-a-secret"
ROWS = (100, 1_000, 10_000)

LLM_FLOW = """\
inputs:
  text: {type: string}
outputs:
  intent: {type: string, reference: "${classify.output}"}
nodes:
- name: classify
  type: llm
  api: chat
  connection: bench
  source: {type: code, path: classify.jinja2}
  inputs: {model: scripted, temperature: 0, max_tokens: 8, text: "${inputs.text}"}
"""
PLAIN_FLOW = """\
inputs:
  text: {type: string}
outputs:
  text: {type: string, reference: "${echo.output}"}
nodes:
- name: echo
  type: python
  source: {type: code, path: echo.py}
  inputs: {text: "${inputs.text}"}
"""
TOOL = "from promptflow_lite import tool\n\n\n@tool\nasync def echo(text: str) -> str:\n    return text\n"


def prepare(folder: Path, url: str, texts: list[str]) -> None:
    """Flows, data and a connection, as a user has them."""
    for name, flow in (("llm", LLM_FLOW), ("plain", PLAIN_FLOW)):
        (folder / name).mkdir()
        (folder / name / "flow.dag.yaml").write_text(flow, encoding="utf-8")
    prompt = f"system:\n{SYSTEM}\n\nuser:\n{{{{text}}}}\n"
    (folder / "llm" / "classify.jinja2").write_text(prompt, encoding="utf-8")
    (folder / "plain" / "echo.py").write_text(TOOL, encoding="utf-8")
    (folder / "home" / "connections").mkdir(parents=True)
    connection = f"type: open_ai\nbase_url: {url}/v1\napi_key: {KEY}\n"
    (folder / "home" / "connections" / "bench.yaml").write_text(connection, encoding="utf-8")
    for name, count in (("data", len(texts)), *((f"rows{rows}", rows) for rows in ROWS)):
        rows = (json.dumps({"text": texts[n % len(texts)]}) for n in range(count))
        (folder / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")


def ours(folder: Path, flow: str, data: str, in_flight: int) -> tuple[int, int]:
    """Run a flow over the data; how many lines completed, and how many files the run is kept in."""
    from promptflow_lite.connections.store import provider
    from promptflow_lite.runs.batch import run_batch
    from promptflow_lite.runs.run import Run
    from promptflow_lite.runs.store import RunStore
    from promptflow_lite.settings import Settings

    settings = Settings.of({"PF_HOME": str(folder / "home")})
    asked = Run(
        name=f"{flow}-{time.time_ns()}",
        flow=str(folder / flow),
        data=str(folder / f"{data}.jsonl"),
        concurrency=in_flight,
    )
    store = RunStore(settings.runs)
    run = asyncio.run(run_batch(asked, store=store, connections=provider(settings)))
    files = sum(path.is_file() for path in store.folder(run.name).rglob("*"))
    store.delete(run.name)
    return run.lines.completed, files


def bare(folder: Path, url: str, in_flight: int) -> int:
    """Send the same requests from as many tasks; how many texts came back."""
    import aiohttp

    texts = [
        json.loads(line)["text"] for line in (folder / "data.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    answers: list[str] = []

    async def work(session: aiohttp.ClientSession, source: Iterator[str]) -> None:
        for text in source:
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
            body = {"model": "scripted", "messages": messages, "temperature": 0, "max_tokens": 8}
            async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                answers.append((await response.json())["choices"][0]["message"]["content"])

    async def everything() -> None:
        connector = aiohttp.TCPConnector(limit=in_flight)
        headers = {"Authorization": f"Bearer {KEY}"}
        source = iter(texts)
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(in_flight):
                group.create_task(work(session, source))

    asyncio.run(everything())
    return len(answers)


def side(arguments: argparse.Namespace) -> None:
    """One side, in a process of its own: what it did, as JSON on stdout."""
    folder, in_flight = Path(arguments.folder), arguments.in_flight[0]
    began, cpu = time.perf_counter(), time.process_time()
    if arguments.side == "bare":
        lines, files = bare(folder, arguments.url, in_flight), 0
    else:
        lines, files = ours(folder, arguments.side, arguments.rows, in_flight)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "lines": lines,
        "files": files,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "process_cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2),
    }
    print(json.dumps(found))


def measured(name: str, folder: Path, url: str, in_flight: int, rows: str = "data") -> dict[str, float]:
    """Run one side and read what it found."""
    command = [sys.executable, __file__, "--side", name, "--folder", str(folder), "--url", url]
    command += ["--in-flight", str(in_flight), "--rows", rows]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environ)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "process_s": time.perf_counter() - began}


@contextmanager
def model_server(latency_ms: float) -> Iterator[str]:
    """The scripted server's URL."""
    command = [
        sys.executable,
        "-m",
        "tests.model_server",
        "--latency-ms",
        str(latency_ms),
        "--answer",
        "greeting",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def figures(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the rounds of one side."""
    return {
        "lines_per_s": median(r["lines"] / r["seconds"] for r in rounds),
        "cpu_ms_per_line": median(1000 * r["cpu_s"] / r["lines"] for r in rounds),
        "process_lines_per_s": median(r["lines"] / r["process_s"] for r in rounds),
        "process_cpu_s": median(r["process_cpu_s"] for r in rounds),
        "files": max(r["files"] for r in rounds),
        "peak_mb": median(r["peak_mb"] for r in rounds),
    }


def compare(arguments: argparse.Namespace, texts: list[str]) -> dict[str, Any]:
    """Every case, its rounds interleaved."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, model_server(arguments.latency_ms) as url:
        folder = Path(temporary)
        prepare(folder, url, texts)
        for name, data in (("bare", "data"), ("llm", "data"), ("plain", "rows100")):
            measured(name, folder, url, 256, data)
        for in_flight in arguments.in_flight:
            rounds: dict[str, list[dict[str, float]]] = {"bare": [], "llm": []}
            for _ in range(arguments.rounds):
                for name, kept in rounds.items():
                    kept.append(measured(name, folder, url, in_flight))
            bare_loop, run = figures(rounds["bare"]), figures(rounds["llm"])
            found[f"{in_flight} in flight"] = {
                "bare": bare_loop,
                "ours": run,
                "ratio": run["lines_per_s"] / bare_loop["lines_per_s"],
            }
        plain: dict[int, list[dict[str, float]]] = {rows: [] for rows in ROWS}
        for _ in range(arguments.rounds):
            for rows, kept in plain.items():
                kept.append(measured("plain", folder, url, 64, f"rows{rows}"))
        found["without a model"] = {str(rows): figures(kept) for rows, kept in plain.items()}
    return found


def show(found: dict[str, Any], lines: int) -> None:
    """The table for people."""
    print(f"{lines} lines; lines/s, CPU ms a line, peak MB, files of a run")
    for case, sides in found.items():
        for name, f in sides.items():
            if name == "ratio":
                print(f"{case:16} ours/bare {f:.2f}")
            else:
                rate, cpu = f"{f['lines_per_s']:9.0f}", f"{f['cpu_ms_per_line']:7.3f}"
                whole = f"process: {f['process_lines_per_s']:.0f} lines/s, {f['process_cpu_s']:.2f} CPU s"
                print(f"{case:16} {name:9} {rate} {cpu} {f['peak_mb']:6.0f} {f['files']:3.0f} files; {whole}")
    few, some, many = (found["without a model"][str(rows)]["process_cpu_s"] for rows in ROWS)
    first, last = (some - few) / (ROWS[1] - ROWS[0]), (many - some) / (ROWS[2] - ROWS[1])
    print(f"without a model, CPU us an added line: {1e6 * first:.0f}, then {1e6 * last:.0f}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data" / "clinc150" / "test.jsonl"
    )
    parser.add_argument("--lines", type=int, default=5500)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", choices=["table", "json"], default="table")
    for hidden in ("--side", "--folder", "--url", "--rows"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments)
        return
    if not arguments.data.is_file():
        print(f"skipped: there is no {arguments.data}; --data names another JSON Lines file with 'utterance'")
        return
    with arguments.data.open(encoding="utf-8") as file:
        texts = [json.loads(line)["utterance"] for line in islice(file, arguments.lines)]
    found = compare(arguments, texts)
    if arguments.output == "json":
        print(json.dumps(found, indent=4))
    else:
        show(found, len(texts))


if __name__ == "__main__":
    main()
