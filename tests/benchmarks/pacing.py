"""How near does a run come to the rate that an endpoint admits, and how often is it refused?

    python tests/benchmarks/pacing.py [--seconds 40] [--rates 5 20 100] [--limits ...] [--workers 2]

For each rate R a scripted model on loopback lets R requests a second in, by each kind of limit, and turns the
others away with a 429 that says in whole seconds, in milliseconds, or not at all when to come back:

    bucket-1 bucket-0.1   a bucket that fills all the time and holds what comes in so many seconds
    sliding-1 sliding-10  as many as come in any so many seconds
    minute                OpenAI's: a minute's bucket, nine tenths used, told of in `x-ratelimit` headers

A run of `pf run create`, in a process of its own, asks it as fast as it may; nobody tells it R. Targets,
after the first ten seconds: at least 0.9 R admitted, at most 5 % of the calls refused. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.model_server import (  # noqa: E402  found by the line above
    Fault,
    Metered,
    ModelServer,
    Trouble,
    admitting,
)

FLOW = """\
inputs:
  text: {type: string}
outputs:
  answer: {type: string, reference: "${ask.output}"}
nodes:
- name: ask
  type: llm
  api: chat
  connection: paced
  source: {type: code, path: ask.jinja2}
  inputs: {model: scripted, text: "${inputs.text}"}
"""
SETTLED_S = 10.0
LIMITS = ("bucket-1", "bucket-0.1", "sliding-1", "sliding-10", "minute")
SAYS = {"seconds": "in seconds", "ms": "in ms", "nothing": "no"}


class Watched(Metered):
    """A limit, and when each request came and whether it was let in."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(1.0)
        self.trouble = trouble
        self.heard: list[tuple[float, bool]] = []

    def __call__(self, body: Mapping[str, Any], now: float) -> Fault | None:
        """What the limit gives."""
        fault = self.trouble(body, now)
        self.heard.append((now, fault is None))
        return fault

    def headers(self) -> dict[str, str]:
        """What the limit says of itself."""
        return self.trouble.headers() if isinstance(self.trouble, Metered) else {}


def limit_of(kind: str, rate: float, says: str) -> Trouble:
    """The server's limit."""
    name, _, size = kind.partition("-")
    if name == "minute":
        return Metered(rate, used=0.9)
    if name == "sliding":
        return admitting(rate, window=float(size), says=says)
    return admitting(rate, burst=float(size), says=says)


def measured(kind: str, rate: float, says: str, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """What share of the rate was reached in all, and after ten seconds; what share was refused then."""
    trouble = Watched(limit_of(kind, rate, says))
    heard = trouble.heard
    with (
        tempfile.TemporaryDirectory() as temporary,
        ModelServer("yes", latency_s=arguments.latency_ms / 1000, record=False, trouble=trouble) as server,
    ):
        folder = Path(temporary)
        (folder / "flow").mkdir()
        (folder / "flow" / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
        (folder / "flow" / "ask.jinja2").write_text("user:\n{{text}}\n", encoding="utf-8")
        (folder / "home" / "connections").mkdir(parents=True)
        connection = f"type: open_ai\nbase_url: {server.base_url}\napi_key: not-a-secret\n"
        (folder / "home" / "connections" / "paced.yaml").write_text(connection, encoding="utf-8")
        rows = (json.dumps({"text": f"t{n}"}) for n in range(int(rate * (arguments.seconds + 30) * 2)))
        (folder / "data.jsonl").write_text("\n".join(rows), encoding="utf-8")
        command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--flow", str(folder / "flow")]
        command += ["--data", str(folder / "data.jsonl"), "--concurrency", str(arguments.in_flight)]
        command += ["--no-tracking", *(["--workers", str(arguments.workers)] if arguments.workers else [])]
        run = subprocess.Popen(
            command,
            env={**os.environ, "PF_HOME": str(folder / "home")},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not heard and run.poll() is None:
                time.sleep(0.05)
            time.sleep(arguments.seconds)
        finally:
            run.terminate()
            run.wait(30)
    if not heard:
        sys.exit("the run asked nothing")
    began = heard[0][0]
    whole = [is_in for at, is_in in heard if at - began <= arguments.seconds]
    late = [is_in for at, is_in in heard if SETTLED_S < at - began <= arguments.seconds]
    reached = sum(late) / (arguments.seconds - SETTLED_S) / rate
    return sum(whole) / arguments.seconds / rate, reached, 1 - sum(late) / max(1, len(late))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run")
    parser.add_argument("--rates", type=float, nargs="+", default=[5, 20, 100])
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--says", nargs="+", choices=list(SAYS), default=list(SAYS))
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    print("| R | limit | a 429 says when | of R, in all | of R, after 10 s | refused, after 10 s |")
    print("|--:|---|---|--:|--:|--:|", flush=True)
    for rate in arguments.rates:
        for kind in arguments.limits:
            for says in ["ms"] if kind == "minute" else arguments.says:
                whole, reached, refused = measured(kind, rate, says, arguments)
                shares = f"{whole:.2f} | {reached:.2f} | {100 * refused:.1f} %"
                print(f"| {rate:g} | {kind} | {SAYS[says]} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
