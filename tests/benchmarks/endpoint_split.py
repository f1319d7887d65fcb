"""What does the split of an endpoint cost, and is it as it says?

    python -m tests.benchmarks.endpoint_split [--requests 5000] [--clients 8] [--rounds 3]

The same flow of one python node, which answers with a word, three ways: `pf flow serve`, an endpoint with one
deployment, and one whose traffic is 90/10. Clients keep their connection and ask again as soon as they are
answered. The sides take turns; rates are medians over the rounds, beside that of `pf flow serve`. Of the
split, the share of the second deployment is shown beside the bounds of the binomial at 99.9 percent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.flows_of import ECHO, ECHO_TOOL, write

_TOOL = ECHO_TOOL.replace('    print("echoing")\n', "")
_Z = 3.29
"""The standard normal's 99.9 percent, two-sided."""


class Took(NamedTuple):
    """What came of a round."""

    rate: float
    answers: Counter[str]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        ports = {side: stack.enter_context(_served(Path(home), side)) for side in ("alone", "one", "split")}
        rounds: dict[str, list[Took]] = {side: [] for side in ports}
        for _ in range(asked.rounds):
            for side, port in ports.items():
                rounds[side].append(asyncio.run(_load(port, asked.requests, asked.clients)))
    rates = {side: statistics.median(took.rate for took in found) for side, found in rounds.items()}
    for side, title in (("alone", "pf flow serve"), ("one", "one deployment"), ("split", "split 90/10")):
        print(f"{title:<16}{rates[side]:>8.0f} requests/s  {rates[side] / rates['alone']:.2f}")
    for took in rounds["split"]:
        share, bound = took.answers["green"], _Z * math.sqrt(asked.requests * 0.1 * 0.9)
        low, high = asked.requests * 0.1 - bound, asked.requests * 0.1 + bound
        verdict = "within" if low <= share <= high else "OUTSIDE"
        print(f"green has {share} of {asked.requests}: {verdict} {low:.0f} to {high:.0f}")


@contextlib.contextmanager
def _served(home: Path, side: str) -> Iterator[int]:
    """The port of a side, while it is served."""
    blue = write(home / side / "blue", dag=ECHO, echo__py=_TOOL.replace("text * times", "'blue'"))
    green = write(home / side / "green", dag=ECHO, echo__py=_TOOL.replace("text * times", "'green'"))
    file = home / side / "endpoint.yml"
    traffic = "{blue: 90, green: 10}" if side == "split" else "{blue: 100}"
    names = {"blue": blue, "green": green} if side == "split" else {"blue": blue}
    deployments = "\n".join(f"- {{name: {name}, flow: {source}}}" for name, source in names.items())
    file.write_text(f"name: {side}-bench\nauth_mode: none\ntraffic: {traffic}\ndeployments:\n{deployments}\n")
    source = blue if side == "alone" else file
    command = [sys.executable, "-m", "promptflow_lite", "flow", "serve", "--source", str(source)]
    env = {**os.environ, "PF_HOME": str(home / "home")}
    process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env=env)
    assert process.stderr is not None
    try:
        found = next(m for line in process.stderr if (m := re.search(r" at http://[^:]+:(\d+)", line)))
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


async def _load(port: int, requests: int, clients: int) -> Took:
    answers: Counter[str] = Counter()
    left = iter(range(requests))
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, left, answers))
    return Took(requests / (time.perf_counter() - began), answers)


async def _client(port: int, left: Iterator[int], answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"text": "hi"}'
    head = b"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
    try:
        for _ in left:
            writer.write(head % len(body) + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer[9:12])
            size = int(re.search(rb"content-length: (\d+)", answer)[1])  # type: ignore[index]  # always sent
            text = json.loads(await reader.readexactly(size))
            answers[text["text"] if status == 200 else str(status)] += 1
    finally:
        writer.close()


if __name__ == "__main__":
    main()
