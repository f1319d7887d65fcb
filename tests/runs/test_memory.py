"""Memory and files of a run do not grow with its lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.flows import write_rows

_FLOW = """\
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
_SAY = """\
from promptflow_lite import tool

@tool
async def say(text: str) -> str:
    return text.upper()
"""


def _most_memory_mb(flow: Path, data: Path, name: str, *more: str) -> float:
    command = [sys.executable, "-m", "promptflow_lite", "run", "create", "--no-tracking", "--name", name]
    process = subprocess.Popen(
        [*command, "--flow", str(flow), "--data", str(data), *more], stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


@pytest.mark.parametrize("more", [(), ("--workers", "1")])
def test_ten_thousand_lines_take_hardly_more_memory_than_a_hundred(
    tmp_path: Path, home: Path, more: tuple[str, ...]
) -> None:
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(_FLOW)
    (flow / "say.py").write_text(_SAY)
    few = write_rows(tmp_path / "few.jsonl", ({"text": "x" * 1000} for _ in range(100)))
    many = write_rows(tmp_path / "many.jsonl", ({"text": "x" * 1000} for _ in range(10_000)))
    assert _most_memory_mb(flow, many, "many", *more) - _most_memory_mb(flow, few, "few", *more) < 20
    assert len(list((home / "runs" / "many").iterdir())) <= 10
