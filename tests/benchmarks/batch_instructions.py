"""How many instructions does a line of a run take? The same on a machine that is busy with other work.

    python tests/benchmarks/batch_instructions.py [--in-flight 16] [--sides plain openai user]
        [--lines 40 90]

Counted by valgrind (`cachegrind`, without its caches), which has to be installed, and makes a process some
fifty times slower: with that, connections are always busy and responses wait for whoever reads them, as they
do at the limit of a core. Each side runs twice, with few lines and with more; what a line takes is the
difference, so that the start is left out. A side takes about a minute of CPU, most of it for its two starts,
and a line a third of a second: with `--in-flight 64 --lines 70 370` some three minutes a side. The sides are
those of `batch_throughput.py`; `llm` cannot be counted so, for its client finds no answer in time.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import batch_throughput as batch  # noqa: E402  found by the line above

_COUNT = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_LATENCY_MS = 50.0


def counted(side: str, folder: Path, url: str, in_flight: int, lines: int) -> int:
    """The instructions of one side's whole process."""
    command = [*_COUNT, sys.executable, batch.__file__, "--side", side, "--folder", str(folder), "--url", url]
    command += ["--in-flight", str(in_flight), "--rows", f"rows{lines}"]
    environ = {**os.environ, "BENCH_URL": f"{url}/v1", "PYTHONHASHSEED": "0"}
    print(f"{side}: {lines} lines under valgrind", file=sys.stderr, flush=True)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None or done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return int(found[1].replace(",", ""))


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--sides", nargs="+", default=["plain", "openai", "user"])
    parser.add_argument("--lines", nargs=2, type=int, default=[40, 90], metavar=("FEW", "MORE"))
    arguments = parser.parse_args()
    few, more = arguments.lines
    names = {**batch.SIDES, "plain": "run, no model"}
    print(f"{arguments.in_flight} in flight\n\n| | million instructions a line |\n|---|--:|")
    with tempfile.TemporaryDirectory() as temporary, batch.model_server(_LATENCY_MS) as url:
        folder = Path(temporary)
        batch.prepare(folder, url, batch.messages(more), (few, more))
        for side in arguments.sides:
            first, last = (counted(side, folder, url, arguments.in_flight, n) for n in (few, more))
            print(f"| {names[side]} | {(last - first) / (more - few) / 1e6:.2f} |", flush=True)


if __name__ == "__main__":
    main()
