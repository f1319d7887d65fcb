"""The comparison itself: our side runs, verdicts say what they should, the page is written in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.cases import Case
from tests.compat.compare import compared, write_table

FLOW = """\
inputs: {text: {type: string}}
outputs: {said: {type: string, reference: "${ask.output}"}}
nodes:
- name: ask
  type: llm
  api: chat
  connection: my_azure
  source: {type: code, path: ask.jinja2}
  inputs: {deployment_name: gpt, text: "${inputs.text}"}
- name: count
  type: python
  aggregation: true
  source: {type: code, path: count.py}
  inputs: {said: "${ask.output}"}
"""
COUNT = """\
from promptflow.core import log_metric, tool

@tool
def count(said: list):
    log_metric("lines", len(said))
    return said
"""


def test_our_side_runs_a_case_against_the_scripted_model(tmp_path: Path, root: Path) -> None:
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(FLOW)
    (flow / "ask.jinja2").write_text("user:\n{{ text }}")
    (flow / "count.py").write_text(COUNT)
    case = {"id": "c", "kind": "dag", "path": str(flow / "flow.dag.yaml"), "lines": [{"text": "hi"}]}
    given, result, noise = (tmp_path / name for name in ("cases.json", "result.json", "noise.log"))
    given.write_text(json.dumps([case]))
    command: list[str | Path] = [sys.executable, "-m", "tests.compat.sides.ours", given, result, noise]
    subprocess.run(command, check=True, cwd=root, timeout=60)
    [outcome] = json.loads(result.read_text())
    assert outcome["lines"][0]["outputs"] == {"said": "echo: hi"}, outcome
    assert (outcome["metrics"], outcome["aggregation"]) == (
        {"lines": 1},
        {"count": ["Completed", ["echo: hi"]]},
    )
    [[path, body]] = outcome["wire"]
    assert (path, body["messages"]) == (
        "/openai/deployments/gpt/chat/completions",
        [{"role": "user", "content": "hi"}],
    )


def outcome(output: Any = 1, *, status: str = "Completed", **others: Any) -> dict[str, Any]:
    line = {"status": status, "outputs": {"y": output}, "nodes": {"n": ["Completed", output]}}
    return {"lines": [line], "wire": [["/v1/chat/completions", {"model": "m", "stream": False}]], **others}


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [
        (outcome(), outcome(), "same"),
        (outcome(), outcome(2), "different"),
        (outcome(metrics={"a": 1}), outcome(metrics={"a": 2}), "different"),
        (outcome(), outcome(wire=[["/v1/chat/completions", {"model": "m"}]]), "same"),
        (outcome(), outcome(wire=[]), "different"),
        (outcome(status="Failed"), outcome(status="Failed"), "both fail"),
        (outcome(), {"refused": "no"}, "different"),
        (outcome(status="Failed"), {"refused": "no"}, "refused before the first line"),
        ({"refused": "no"}, {"refused": "no"}, "both refuse"),
        ({"refused": "no"}, outcome(), "different"),
    ],
)
def test_what_two_outcomes_come_to(theirs: dict[str, Any], ours: dict[str, Any], verdict: str) -> None:
    row = compared(Case("flows/x/flow.dag.yaml"), theirs, ours)
    assert (row.verdict, row.is_open) == (verdict, verdict == "different")


def test_the_table_takes_the_place_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- compared: begin -->\nold\n<!-- compared: end -->\n\nafter\n")
    write_table(page, [compared(Case("flows/x/flow.dag.yaml"), outcome(), outcome())])
    assert page.read_text() == (
        "before\n\n<!-- compared: begin -->\n\n| flow | lines | outcome |\n|---|---|---|\n"
        "| `flows/x` | 1 | same |\n\n<!-- compared: end -->\n\nafter\n"
    )
