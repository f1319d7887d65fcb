"""Does a run's memory grow with its data? Peak memory of `pf run create` over few lines and over many.

    python tests/benchmarks/batch_memory.py --lines 100 100000

Each run is a process of its own over rows of about a kilobyte, with a flow of one Python node and no
aggregation; printed are its peak resident memory, and by how much it grows a line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLOW = """\
inputs:
  text: {type: string}
outputs:
  length: {type: int, reference: "${measure.output}"}
nodes:
- name: measure
  type: python
  source: {type: code, path: measure.py}
  inputs: {text: "${inputs.text}"}
"""
TOOL = """\
from promptflow_lite import tool


@tool
async def measure(text: str) -> int:
    return len(text)
"""


def write(folder: Path, lines: int, suffix: str) -> Path:
    """A data file of so many rows."""
    path = folder / f"{lines}{suffix}"
    with path.open("w") as file:
        if suffix == ".csv":
            file.write("text\n")
        for number in range(lines):
            text = f"{number} " + "x" * 1000
            file.write(f"{text}\n" if suffix == ".csv" else json.dumps({"text": text}) + "\n")
    return path


def measure(folder: Path, data: Path) -> tuple[float, float]:
    """Peak resident memory in MB, and seconds, of one run."""
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--flow", str(folder / "flow")]
    environment = {**os.environ, "PF_HOME": str(folder / "home"), "PF_TRACKING": "off"}
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--data", str(data)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    if process.returncode:
        raise SystemExit(said)
    return usage.ru_maxrss / 1024, time.monotonic() - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--format", choices=[".jsonl", ".csv"], default=".jsonl")
    asked = parser.parse_args()
    print(f"{'lines':>8}  {'data MB':>8}  {'peak MB':>8}  {'bytes a line':>12}  {'seconds':>8}")
    first: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "flow").mkdir()
        (folder / "flow" / "flow.dag.yaml").write_text(FLOW)
        (folder / "flow" / "measure.py").write_text(TOOL)
        for lines in asked.lines:
            data = write(folder, lines, asked.format)
            peak, seconds = measure(folder, data)
            first = first or (lines, peak)
            grown = (peak - first[1]) * 1024 * 1024 / (lines - first[0]) if lines > first[0] else 0.0
            size = data.stat().st_size / 1024 / 1024
            print(f"{lines:>8,}  {size:>8.1f}  {peak:>8.1f}  {grown:>12.0f}  {seconds:>8.1f}")


if __name__ == "__main__":
    main()
