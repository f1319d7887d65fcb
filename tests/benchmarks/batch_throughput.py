"""How many lines a second does a run do? Beside loops that send the same requests, and beside Prompt flow.

    python tests/benchmarks/batch_throughput.py [--original PYTHON] [--rounds 3] [--in-flight 16 64 256]
        [--data FILE] [--lines 5500] [--openai-lines N] [--latency-ms 50] [--output markdown|json]

It prints the tables of docs/performance.md, in ten minutes on two cores that do nothing else. A flow
of one node over short messages (`--data`: those of a JSON Lines file with `utterance`), against a scripted
model server in a process of its own. All sides have the same lines, but for Prompt flow; `--openai-lines`
gives fewer to those that call the openai package, which takes 1.5 ms of CPU a call. Each side is a process
of its own, imports included; in each round all sides run one after the other:

* `aiohttp loop`: builds the same requests, sends them over aiohttp and keeps the texts in a list;
* `AsyncOpenAI loop`: the same with the openai package's client;
* `run, llm node`: everything that `pf run create` does except telling MLflow: it reads and checks the data,
  maps it, journals and fsyncs every line, writes the outputs;
* `run, openai in Python`: the same with a Python node in which the user calls `AsyncOpenAI`;
* `the same, 2 workers`: with `--workers 2`, as such a run is asked for where one core is not enough;
* `Prompt flow`: the original, where `--original` names a Python that has it (promptflow with its tools), with
  as many workers as its default (4) over `--original-lines` lines: more workers are more processes, and fail.

Figures are medians of the rounds: lines a second, CPU time (user and system, child processes included) in
milliseconds a line, peak memory of the largest process. Targets: of the aiohttp loop's rate at least 0.90 at
16 and at 64 in flight and 0.75 at 256, of the AsyncOpenAI loop's at least 0.95 for the user's own calls; at
most 0.35 CPU ms a line and 80 MB; a run of one line at most 0.4 CPU s.

Last, 100, 1,000, 10,000 and 20,000 lines of a flow without a model. Targets: 10,000 lines at 8,000 lines a
second or more, start of the process included; CPU time of an added line not growing (from 10,000 to 20,000 as
from 1,000 to 10,000, a tenth more for the noise); memory within 20 MB of the 100 lines'; at most 10 files.

Byte code is compiled before, as it is from the second run on: a round that is not counted goes first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "Name the intent of the customer's message in one word."
KEY = "not-a-secret"
ROWS = (100, 1_000, 10_000, 20_000)
WORDS = ("balance", "card", "flight", "weather", "alarm", "recipe", "meeting", "tyre", "visa", "song")
TARGETS = {"16": 0.90, "64": 0.90, "256": 0.75}
"""Of the aiohttp loop's rate, by how many are in flight."""
SIDES = {
    "bare": "aiohttp loop",
    "openai": "AsyncOpenAI loop",
    "llm": "run, llm node",
    "user": "run, openai in Python",
    "workers": "the same, 2 workers",
    "original": "Prompt flow",
}

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
USER_FLOW = """\
inputs:
  text: {type: string}
outputs:
  intent: {type: string, reference: "${classify.output}"}
nodes:
- name: classify
  type: python
  source: {type: code, path: classify.py}
  inputs: {text: "${inputs.text}"}
"""
USER_TOOL = f"""\
import os
from functools import lru_cache

from openai import AsyncOpenAI
from promptflow_lite import tool


@lru_cache
def client():
    return AsyncOpenAI(base_url=os.environ["BENCH_URL"], api_key={KEY!r})


@tool
async def classify(text: str) -> str:
    messages = [{{"role": "system", "content": {SYSTEM!r}}}, {{"role": "user", "content": text}}]
    answer = await client().chat.completions.create(
        model="scripted", messages=messages, temperature=0, max_tokens=8
    )
    return answer.choices[0].message.content
"""
RING = """\
import json
import pathlib

from keyring.backend import KeyringBackend

FILE = pathlib.Path(__file__).with_suffix(".json")


class Ring(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        return json.loads(FILE.read_text()).get(username) if FILE.exists() else None

    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({username: password}))
"""
TOOL = "from promptflow_lite import tool\n\n\n@tool\nasync def echo(text: str) -> str:\n    return text\n"


def prepare(folder: Path, url: str, texts: list[str], sizes: Iterable[int]) -> None:
    """Flows, data of each size and a connection, as a user has them."""
    for name, flow in (("llm", LLM_FLOW), ("user", USER_FLOW), ("plain", PLAIN_FLOW)):
        (folder / name).mkdir()
        (folder / name / "flow.dag.yaml").write_text(flow, encoding="utf-8")
    prompt = f"system:\n{SYSTEM}\n\nuser:\n{{{{text}}}}\n"
    (folder / "llm" / "classify.jinja2").write_text(prompt, encoding="utf-8")
    (folder / "plain" / "echo.py").write_text(TOOL, encoding="utf-8")
    (folder / "user" / "classify.py").write_text(USER_TOOL, encoding="utf-8")
    (folder / "bench_ring.py").write_text(RING, encoding="utf-8")
    (folder / "original").mkdir()
    (folder / "original" / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    (folder / "home" / "connections").mkdir(parents=True)
    connection = f"type: open_ai\nbase_url: {url}/v1\napi_key: {KEY}\n"
    (folder / "home" / "connections" / "bench.yaml").write_text(connection, encoding="utf-8")
    for count in {1, *ROWS, *sizes}:
        rows = (json.dumps({"text": texts[n % len(texts)]}) for n in range(count))
        (folder / f"rows{count}.jsonl").write_text("\n".join(rows), encoding="utf-8")


def ours(folder: Path, flow: str, data: str, in_flight: int, workers: int | None = None) -> tuple[int, int]:
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
        workers=workers,
    )
    store = RunStore(settings.runs)
    run = asyncio.run(run_batch(asked, store=store, connections=provider(settings)))
    files = sum(path.is_file() for path in store.folder(run.name).rglob("*"))
    store.delete(run.name)
    return run.lines.completed, files


def texts_of(folder: Path, data: str) -> list[str]:
    """The texts of a data file."""
    lines = (folder / f"{data}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def openai_loop(folder: Path, url: str, data: str, in_flight: int) -> int:
    """Send the same requests by the openai package from as many tasks; how many texts came back."""
    from openai import AsyncOpenAI

    answers: list[str | None] = []

    async def work(client: AsyncOpenAI, source: Iterator[str]) -> None:
        for text in source:
            answer = await client.chat.completions.create(
                model="scripted",
                messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
                temperature=0,
                max_tokens=8,
            )
            answers.append(answer.choices[0].message.content)

    async def everything() -> None:
        source = iter(texts_of(folder, data))
        async with (
            AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(in_flight):
                group.create_task(work(client, source))

    asyncio.run(everything())
    return len(answers)


def original(folder: Path, url: str, data: str) -> int:
    """Run the flow over the data as Prompt flow does; how many lines completed."""
    # It is in an environment of its own.
    from promptflow.client import PFClient  # type: ignore[import-not-found,unused-ignore]
    from promptflow.entities import OpenAIConnection  # type: ignore[import-not-found,unused-ignore]

    client = PFClient()
    connection = OpenAIConnection(name="bench", api_key=KEY, base_url=f"{url}/v1")
    client.connections.create_or_update(connection)
    run = client.run(
        flow=str(folder / "llm"),
        data=str(folder / f"{data}.jsonl"),
        column_mapping={"text": "${data.text}"},
    )
    outputs = folder / "original" / ".runs" / run.name / "flow_outputs" / "output.jsonl"
    return len(outputs.read_text(encoding="utf-8").splitlines())


def bare(folder: Path, url: str, data: str, in_flight: int) -> int:
    """Send the same requests from as many tasks; how many texts came back."""
    import aiohttp

    texts = texts_of(folder, data)
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
        lines, files = bare(folder, arguments.url, arguments.rows, in_flight), 0
    elif arguments.side == "openai":
        lines, files = openai_loop(folder, arguments.url, arguments.rows, in_flight), 0
    elif arguments.side == "original":
        lines, files = original(folder, arguments.url, arguments.rows), 0
    elif arguments.side == "workers":
        lines, files = ours(folder, "user", arguments.rows, in_flight, workers=2)
    else:
        lines, files = ours(folder, arguments.side, arguments.rows, in_flight)
    used, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    children_s = theirs.ru_utime + theirs.ru_stime
    found = {
        "lines": lines,
        "files": files,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu + children_s,
        "process_cpu_s": used.ru_utime + used.ru_stime + children_s,
        "peak_mb": max(used.ru_maxrss, theirs.ru_maxrss) / (1024 if sys.platform == "linux" else 1024**2),
    }
    print(json.dumps(found))


def measured(
    name: str, folder: Path, url: str, in_flight: int, lines: int, python: str = sys.executable
) -> dict[str, float]:
    """Run one side and read what it found."""
    command = [python, __file__, "--side", name, "--folder", str(folder), "--url", url]
    command += ["--in-flight", str(in_flight), "--rows", f"rows{lines}"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "BENCH_URL": f"{url}/v1"}
    if name == "original":
        environ |= {
            "PF_HOME_DIRECTORY": str(folder / "original"),
            "PYTHONPATH": str(folder),
            "PYTHON_KEYRING_BACKEND": "bench_ring.Ring",
            "PF_DISABLE_TRACING": "true",
        }
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False, env=environ)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-4000:]}")
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
        "lines": max(r["lines"] for r in rounds),
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
        by_openai = arguments.openai_lines or arguments.lines
        sizes = (arguments.lines, arguments.original_lines, by_openai)
        prepare(folder, url, texts, sizes)

        def lines_of(side: str, in_flight: int) -> int:
            if side == "original":
                return int(arguments.original_lines)
            return int(by_openai if side in ("openai", "user", "workers") else arguments.lines)

        def once(side: str, in_flight: int, lines: int) -> dict[str, float]:
            python = arguments.original if side == "original" else sys.executable
            return measured(side, folder, url, in_flight, lines, python)

        sides = [side for side in SIDES if side != "original" or arguments.original]
        for side in sides:
            once(side, 256, 1)
        measured("plain", folder, url, 256, ROWS[0])
        for in_flight in arguments.in_flight:
            rounds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for number in range(arguments.rounds):
                print(f"{in_flight} in flight, round {number + 1}", file=sys.stderr)
                for side, kept in rounds.items():
                    if side != "original" or in_flight == arguments.in_flight[0]:  # it has workers of its own
                        kept.append(once(side, in_flight, lines_of(side, in_flight)))
            found[f"{in_flight} in flight"] = {side: figures(kept) for side, kept in rounds.items() if kept}
        ones: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        plain: dict[int, list[dict[str, float]]] = {rows: [] for rows in ROWS}
        for _ in range(arguments.rounds):
            for side, kept in ones.items():
                kept.append(once(side, 16, 1))
            for rows, kept in plain.items():
                kept.append(measured("plain", folder, url, 64, rows))
        found["one line"] = {side: figures(kept) for side, kept in ones.items()}
        found["without a model"] = {str(rows): figures(kept) for rows, kept in plain.items()}
    return found


def show(found: dict[str, Any], arguments: argparse.Namespace, minutes: float) -> None:
    """What was measured, in Markdown."""
    print(
        f"{time.strftime('%d %B %Y')}, Python {platform.python_version()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end; medians of {arguments.rounds} rounds; {minutes:.1f} minutes.\n"
    )
    print(f"A model that answers after {arguments.latency_ms:g} ms:\n")
    print("| in flight | | lines | lines/s | of aiohttp | of AsyncOpenAI | CPU ms a line | peak MB |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|")
    for case, sides in found.items():
        if not case.endswith("in flight"):
            continue
        for side, f in sides.items():
            rate = f["lines_per_s"]
            shares = " | ".join(f"{rate / sides[loop]['lines_per_s']:.2f}" for loop in ("bare", "openai"))
            number = case.split()[0] if side != "original" else "(4 workers)"
            print(
                f"| {number} | {SIDES[side]} | {f['lines']:,.0f} | {rate:,.0f} | {shares} "
                f"| {f['cpu_ms_per_line']:.3f} | {f['peak_mb']:.0f} |"
            )
    print("\n| one line | CPU s | seconds | peak MB |\n|---|--:|--:|--:|")
    for side, f in found["one line"].items():
        seconds = 1 / f["process_lines_per_s"]
        print(f"| {SIDES[side]} | {f['process_cpu_s']:.2f} | {seconds:.2f} | {f['peak_mb']:.0f} |")
    plain = found["without a model"]
    print("\n| lines without a model | lines/s, start included | CPU s | peak MB | files |")
    print("|--:|--:|--:|--:|--:|")
    for rows in ROWS:
        f = plain[str(rows)]
        print(
            f"| {rows:,} | {f['process_lines_per_s']:,.0f} | {f['process_cpu_s']:.2f} "
            f"| {f['peak_mb']:.0f} | {f['files']:.0f} |"
        )
    print("\n| | measured | target | |\n|---|--:|--:|---|")
    for what, measured, sign, target in targets(found):
        is_met = measured >= target if sign == "at least" else measured <= target
        shown = f"{measured:,.0f}" if target >= 10 else f"{measured:.2f}"
        print(f"| {what} | {shown} | {sign} {target:,.4g} | {'met' if is_met else '**missed**'} |")


def targets(found: dict[str, Any]) -> Iterator[tuple[str, float, str, float]]:
    """What was measured, and what it should be."""
    for number, share in TARGETS.items():
        sides = found.get(f"{number} in flight")
        if sides is None:
            continue
        rates = {side: f["lines_per_s"] for side, f in sides.items()}
        yield (
            f"{number} in flight: of the aiohttp loop's rate",
            rates["llm"] / rates["bare"],
            "at least",
            share,
        )
        yield (
            f"{number} in flight: the user's own `openai` calls, of the AsyncOpenAI loop's rate",
            rates["user"] / rates["openai"],
            "at least",
            0.95,
        )
        yield f"{number} in flight: the same, 2 workers", rates["workers"] / rates["openai"], "at least", 0.95
        yield f"{number} in flight: CPU ms a line", sides["llm"]["cpu_ms_per_line"], "at most", 0.35
        yield f"{number} in flight: peak MB", sides["llm"]["peak_mb"], "at most", 80
    yield "one line: CPU s", found["one line"]["llm"]["process_cpu_s"], "at most", 0.4
    few, some, many, most = (found["without a model"][str(rows)] for rows in ROWS)
    yield "10,000 lines without a model: lines/s", many["process_lines_per_s"], "at least", 8_000
    first = (many["process_cpu_s"] - some["process_cpu_s"]) / (ROWS[2] - ROWS[1])
    last = (most["process_cpu_s"] - many["process_cpu_s"]) / (ROWS[3] - ROWS[2])
    yield "CPU µs of an added line, beyond 10,000 and before", 1e6 * last, "at most", 1.1e6 * first
    yield "peak MB beyond that of 100 lines", many["peak_mb"] - few["peak_mb"], "at most", 20
    yield "files", many["files"], "at most", 10


def messages(count: int) -> list[str]:
    """Short messages of a customer, no two alike."""
    return [f"my {WORDS[n % 10]} and the {WORDS[n // 10 % 10]}, request {n}" for n in range(count)]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="JSON Lines with 'utterance'; default: made messages")
    parser.add_argument("--lines", type=int, default=5500, help="of each case")
    parser.add_argument(
        "--openai-lines",
        type=int,
        help="for the sides that call the openai package; default: as many as the others have",
    )
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--original", metavar="PYTHON", help="of an environment that has promptflow")
    parser.add_argument("--original-lines", type=int, default=100, help="for it; it is slow")
    parser.add_argument("--output", choices=["markdown", "json"], default="markdown")
    for hidden in ("--side", "--folder", "--url", "--rows"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments)
        return
    texts = messages(10_000)
    if arguments.data is not None:
        with arguments.data.open(encoding="utf-8") as file:
            texts = [json.loads(line)["utterance"] for line in file]
    began = time.monotonic()
    found = compare(arguments, texts)
    if arguments.output == "json":
        print(json.dumps(found, indent=4))
    else:
        show(found, arguments, (time.monotonic() - began) / 60)


if __name__ == "__main__":
    main()
