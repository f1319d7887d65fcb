"""How much CPU time does it take to start? Medians over interleaved rounds.

    python tests/benchmarks/startup.py [--rounds 15] [--output json]

Counts user and system time of the child process, on Linux and macOS, its byte code compiled before, as it is
from the second start on. Targets: `pf --help` 0.15 s, a one-node `pf flow test` 0.25 s,
`import promptflow_lite` 0.10 s, a one-line `pf run create --no-tracking` 0.4 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

FLOW = """\
inputs:
  text: {type: string, default: hello}
outputs:
  text: {type: string, reference: "${echo.output}"}
nodes:
- name: echo
  type: python
  source: {type: code, path: echo.py}
  inputs:
    text: ${inputs.text}
"""

TOOL = """\
from promptflow_lite import tool


@tool
def echo(text: str) -> str:
    return text
"""


def cases(flow: Path, data: Path) -> dict[str, list[str]]:
    """What is measured, by name."""
    pf = [sys.executable, "-m", "promptflow_lite"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import promptflow_lite": [sys.executable, "-c", "import promptflow_lite"],
        "import load_flow, run, tool": [
            sys.executable,
            "-c",
            "from promptflow_lite import load_flow, run, tool",
        ],
        "pf --help": [*pf, "--help"],
        "pf flow validate": [*pf, "flow", "validate", "--source", str(flow)],
        "pf flow test, one node": [*pf, "flow", "test", "--flow", str(flow)],
        "pf run create, one line": [
            *pf,
            *("run", "create", "--flow", str(flow), "--data", str(data), "--no-tracking"),
        ],
    }


def environment(place: Path) -> dict[str, str]:
    """A user's: byte code is kept (here in a folder of our own), and so are runs."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(place / "bytecode"), "PF_HOME": str(place / "home")}


def cpu_seconds(command: list[str], environ: dict[str, str]) -> float:
    """User and system seconds of one run of `command`.

    Raises:
        RuntimeError: it did not exit with 0.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def measure(rounds: int) -> dict[str, float]:
    """The median of each case; one round runs every case once, so that noise falls on all of them."""
    with tempfile.TemporaryDirectory() as place:
        flow = Path(place) / "echo"
        flow.mkdir()
        (flow / "flow.dag.yaml").write_text(FLOW, encoding="utf-8")
        (flow / "echo.py").write_text(TOOL, encoding="utf-8")
        data = Path(place) / "data.jsonl"
        data.write_text('{"text": "hello"}\n', encoding="utf-8")
        commands = cases(flow, data)
        environ = environment(Path(place))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for counted in (False, *[True] * rounds):  # the first round warms the caches of byte code and files
            for name, command in commands.items():
                took = cpu_seconds(command, environ)
                if counted:
                    seconds[name].append(took)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU seconds to start.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", choices=["text", "json"], default="text")
    args = parser.parse_args()
    found = measure(args.rounds)
    if args.output == "json":
        print(json.dumps(found, indent=2))
        return
    for name, seconds in found.items():
        print(f"{name:30} {seconds:6.3f} CPU s")


if __name__ == "__main__":
    main()
