"""Does a served flow hold the highest rate that it can, minute after minute, without growing?

    python -m tests.benchmarks.serving_endurance [--minutes 10] [--flows chat retrieval] [--delay-ms 50]
        [--rate REQUESTS_A_SECOND] [--p99-ms 500] [--stream-share 0.2]

The chat flow of `flows/chat`, and a flow that searches the manual of `flows/support` (words and vectors, the
question embedded by the model's endpoint) and answers from what it found; each served by `pf flow serve` with
its defaults, one after the other, and held for as many minutes. The model is `tests.model_server` in another
process. Conversations differ in length, each question is another; some answers are streamed; an answer
that is not to its question is a failure, as is any but a 200.

First 64 clients that never pause say what the server can do at most. Then requests come at a fixed rate,
whether those before them are answered or not: the first of 95, 90, 80, ... percent of that at which every
request of ten seconds is answered and the 99th percentile stays below `--p99-ms` is held. Times count from
when a request was due. Memory is the server's resident size, looked at each second. Its slope is that of the
means of ten equal parts of the time after warm-up (the first fifth, a minute at most), with the interval of
95 percent; it is flat if that ends below 0.1 MB a minute; that it grows is said after five minutes
at the earliest. Exits with 1 if a request failed or memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.serving import ROOT, cpu_of, free_port, process

_RETRIEVAL = """\
inputs:
  chat_history: {type: list, is_chat_history: true, default: []}
  question: {type: string, is_chat_input: true}
outputs:
  answer: {type: string, reference: "${answer.output}", is_chat_output: true}
  passages: {type: list, reference: "${search.output}"}
nodes:
- name: search
  type: retrieval
  source: {type: package, tool: index}
  inputs: {index: manual.index, query: "${inputs.question}", top_k: 4, mode: hybrid}
- name: answer
  type: llm
  source: {type: code, path: answer.jinja2}
  api: chat
  inputs: {model: scripted, temperature: 0, max_tokens: 96, passages: "${search.output}",
    question: "${inputs.question}"}
"""
_ANSWER = """\
system:
Answer from these passages.
{% for passage in passages %}
{{ passage.text }}
{% endfor %}
user:
{{ question }}
"""
_QUESTIONS = (
    "How often do I have to replace the filter?",
    "Why does the light blink red?",
    "Can I run it over night, and how loud is it then?",
    "What does the warranty cover?",
)
_CLIENTS = 64
_FLAT_MB = 0.1
_PARTS = 10
_SETTLED_MINUTES = 5
"""Before that the allocator still finds its size: growth says nothing."""
_T = 2.306
"""Student's t at 97.5 percent with 8 degrees of freedom: ten parts, two of a line."""


class Asked(NamedTuple):
    """A request, and what its answer must hold."""

    data: bytes
    mark: bytes
    is_stream: bool


@dataclass
class Tally:
    """What came of requests."""

    took: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Requests that ended."""
        return len(self.took) + self.failed.total()

    def at(self, share: float) -> float:
        """The quantile of the times, in milliseconds."""
        times = sorted(self.took)
        return times[min(len(times) - 1, int(len(times) * share))] * 1000 if times else math.nan


class Looked(NamedTuple):
    """The server at one moment."""

    at: float
    """Seconds since the hold began."""
    rss_mb: float
    files: int
    threads: int


class Slope(NamedTuple):
    """How memory went, in MB a minute."""

    middle: float
    low: float
    high: float
    minutes: float
    """That it was looked at."""

    @property
    def verdict(self) -> str:
        """What that says."""
        if self.high <= _FLAT_MB:
            return "flat"
        return (
            "GROWS"
            if self.low > _FLAT_MB and self.minutes >= _SETTLED_MINUTES
            else "not known: hold it longer"
        )


def asked(number: int, stream_share: float) -> Asked:
    """The request of that number; every one of its own words."""
    draw = random.Random(number)
    mark = f"case {' '.join(str(number))}"  # of few words, as people's questions are
    turn = {"inputs": {"question": _QUESTIONS[0]}, "outputs": {"answer": "Every three months. " * 8}}
    body = json.dumps(
        {"question": f"{draw.choice(_QUESTIONS)} ({mark})", "chat_history": [turn] * draw.randrange(6)}
    ).encode()
    is_stream = draw.random() < stream_share
    accept = b"text/event-stream" if is_stream else b"application/json"
    head = b"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: %b\r\n"
    return Asked(
        (head + b"content-length: %d\r\n\r\n") % (accept, len(body)) + body, mark.encode(), is_stream
    )


class Caller:
    """Asks a server; keeps its connections."""

    def __init__(self, port: int, stream_share: float) -> None:
        self._port = port
        self._stream_share = stream_share
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._number = 0

    async def ask(self, due: float, tally: Tally) -> None:
        """Ask the next question, and put down what came of it."""
        self._number += 1
        request = asked(self._number, self._stream_share)
        try:
            async with asyncio.timeout(60):
                why = await self._answer(request)
        except (OSError, EOFError, TimeoutError) as error:
            why = type(error).__name__
        if why:
            tally.failed[why] += 1
        else:
            tally.took.append(time.perf_counter() - due)

    async def _answer(self, request: Asked) -> str:
        """Why the answer is none; empty if it is one."""
        while self._idle and self._idle[0][0].at_eof():  # idle too long for the server
            self._idle.popleft()[1].close()
        known = self._idle.pop() if self._idle else None
        reader, writer = known or await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request.data)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"transfer-encoding: chunked" in head:
                body = await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        if head[9:12] != b"200":
            return head[9:12].decode()
        return "" if _holds(body, request) else "another answer"

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop()[1].close()


def _holds(body: bytes, request: Asked) -> bool:
    """Whether the answer is to its question; a stream brings it word by word."""
    if not request.is_stream:
        return request.mark in body
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    text = "".join(str(json.loads(event).get("answer", "")) for event in events)
    return request.mark.decode() in text


async def most(caller: Caller, seconds: float) -> float:
    """Requests a second at most: clients that never pause."""
    tally, until = Tally(), time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            await caller.ask(time.perf_counter(), tally)

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(one())
    return len(tally.took) / seconds


async def hold(caller: Caller, rate: float, seconds: float, tallies: Sequence[Tally]) -> None:
    """Ask at a fixed rate; each request goes to the tally of the part of the time it was due in."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tally = tallies[int(number / rate * len(tallies) / seconds)]
            group.create_task(caller.ask(due, tally))


async def steady(caller: Caller, p99_ms: float) -> float:
    """The highest rate of those tried that is held."""
    await most(caller, 2)
    limit = await most(caller, 5)
    print(f"at most {limit:.0f} requests/s ({_CLIENTS} clients that never pause)", flush=True)
    for percent in (95, 90, 80, 70, 60, 50, 40, 30, 20):
        tally, rate = Tally(), limit * percent / 100
        await hold(caller, rate, 10, [tally])
        is_steady = not tally.failed and tally.at(0.99) <= p99_ms
        said = (
            f"p99 {tally.at(0.99):.0f} ms, {tally.failed.total()} failed {dict(tally.failed) or ''}".rstrip()
        )
        print(f"{percent} %: {rate:.0f}/s, {said}: {'steady' if is_steady else 'too much'}", flush=True)
        if is_steady:
            return rate
        await asyncio.sleep(2)
    raise SystemExit("no rate is steady on this machine now; say one with --rate")


def look(pid: int, at: float) -> Looked:
    """The server now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Looked(at, int(fields["VmRSS"].split()[0]) / 1024, files, int(fields["Threads"]))


async def watch(pid: int, looks: list[Looked]) -> None:
    """Look each second, until cancelled."""
    began = time.perf_counter()
    while True:
        looks.append(look(pid, time.perf_counter() - began))
        await asyncio.sleep(1)


def slope_of(looks: Sequence[Looked]) -> Slope:
    """How memory went after warm-up: a line through the means of equal parts, which hardly hang together."""
    warm = min(60.0, looks[-1].at / 5)
    kept = [seen for seen in looks if seen.at >= warm]
    size = len(kept) // _PARTS
    parts = [kept[n * size : (n + 1) * size] for n in range(_PARTS)]
    xs = [statistics.fmean(seen.at / 60 for seen in part) for part in parts]
    ys = [statistics.fmean(seen.rss_mb for seen in part) for part in parts]
    slope, start = statistics.linear_regression(xs, ys)
    middle = statistics.fmean(xs)
    spread = sum((x - middle) ** 2 for x in xs)
    left = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    error = _T * math.sqrt(left / (_PARTS - 2) / spread)
    return Slope(slope, slope - error, slope + error, looks[-1].at / 60)


async def endure(port: int, pid: int, arguments: argparse.Namespace) -> bool:
    """Find the rate, hold it, print; whether all went well."""
    caller = Caller(port, arguments.stream_share)
    rate = arguments.rate or await steady(caller, arguments.p99_ms)
    seconds = arguments.minutes * 60
    tallies = [Tally() for _ in range(max(1, round(arguments.minutes)))]
    looks: list[Looked] = []
    watching = asyncio.create_task(watch(pid, looks))
    cpu = cpu_of(pid)
    try:
        await hold(caller, rate, seconds, tallies)
    finally:
        watching.cancel()
        caller.close()
    cpu = cpu_of(pid) - cpu
    show(tallies, looks, rate, seconds)
    slope, all_failed = slope_of(looks), sum((tally.failed for tally in tallies), Counter[str]())
    total = sum(tally.count for tally in tallies)
    print(f"\n{total:,} requests, {all_failed.total()} failed {dict(all_failed) or ''}")
    print(f"{cpu / total * 1000:.2f} CPU ms a request")
    print(
        f"memory: {slope.middle:+.3f} MB a minute ({slope.low:+.3f} to {slope.high:+.3f}): {slope.verdict}\n",
        flush=True,
    )
    return not all_failed and slope.verdict != "GROWS"


def show(tallies: Sequence[Tally], looks: Sequence[Looked], rate: float, seconds: float) -> None:
    """The table."""
    print(f"\nheld: {rate:.0f} requests/s for {seconds / 60:g} minutes\n")
    print("| minute | answered | failed | p50 ms | p99 ms | RSS MB | open files | threads |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    part = seconds / len(tallies)
    for number, tally in enumerate(tallies):
        seen = [look for look in looks if number * part <= look.at < (number + 1) * part] or [looks[-1]]
        rss = statistics.fmean(look.rss_mb for look in seen)
        files, threads = max(look.files for look in seen), max(look.threads for look in seen)
        times = f"{tally.at(0.5):.1f} | {tally.at(0.99):.1f}"
        counts = f"{len(tally.took):,} | {tally.failed.total()}"
        print(f"| {number + 1} | {counts} | {times} | {rss:.1f} | {files} | {threads} |")


@contextlib.contextmanager
def served(name: str, delay_ms: float) -> Iterator[tuple[int, int]]:
    """The port and the process of a flow's server, with a model of its own."""
    with contextlib.ExitStack() as stack:
        model_port, port = free_port(), free_port()
        model = [sys.executable, "-m", "tests.model_server", "--port", str(model_port)]
        model += ["--latency-ms", str(delay_ms)]
        stack.enter_context(process(model, dict(os.environ), model_port))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-endurance-")))
        flow, connections = folder / "flow", folder / "home" / "connections"
        connections.mkdir(parents=True)
        url = f"http://127.0.0.1:{model_port}/v1"
        text = f"type: open_ai\nbase_url: {url}\napi_key: k\nmodel: scripted\n"
        (connections / "bench.yaml").write_text(text, encoding="utf-8")
        environ = dict(os.environ) | {"PF_HOME": str(folder / "home")}
        pf = [sys.executable, "-m", "promptflow_lite"]
        if name == "chat":
            shutil.copytree(ROOT / "flows" / "chat", flow)
        else:
            flow.mkdir()
            (flow / "flow.dag.yaml").write_text(_RETRIEVAL, encoding="utf-8")
            (flow / "answer.jinja2").write_text(_ANSWER, encoding="utf-8")
            build = ["index", "build", str(ROOT / "flows" / "support" / "manual")]
            build += ["--output", str(flow / "manual.index"), "--embedding", "bench", "--model", "scripted"]
            subprocess.run([*pf, *build], env=environ, cwd=ROOT, check=True, capture_output=True)
        command = [*pf, "flow", "serve", "--source", str(flow), "--port", str(port)]
        yield port, stack.enter_context(process(command, environ, port))


def main() -> int:
    """Hold each flow; 1 if a request failed or memory grows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="to hold each flow")
    parser.add_argument("--flows", nargs="+", default=["chat", "retrieval"], choices=("chat", "retrieval"))
    parser.add_argument("--delay-ms", type=float, default=50.0, help="of the model")
    parser.add_argument("--rate", type=float, help="requests a second, where it shall not be looked for")
    parser.add_argument("--p99-ms", type=float, default=500.0, help="at a steady rate, at most")
    parser.add_argument("--stream-share", type=float, default=0.2, help="of requests, answered in parts")
    arguments = parser.parse_args()
    went_well = True
    for name in arguments.flows:
        print(f"## {name}\n")
        with served(name, arguments.delay_ms) as (port, pid):
            went_well &= asyncio.run(endure(port, pid, arguments))
    return 0 if went_well else 1


if __name__ == "__main__":
    sys.exit(main())
