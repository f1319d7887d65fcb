"""Flows written exactly as Prompt flow's users write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import flows_of
from tests.commands import pf

DAG = """\
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json
environment:
  python_requirements_txt: requirements.txt
inputs:
  text:
    type: string
    default: hello
outputs:
  output_prompt:
    type: string
    reference: ${shout.output}
nodes:
- name: hello_prompt
  type: prompt
  inputs:
    text: ${inputs.text}
  source:
    type: code
    path: hello.jinja2
- name: shout
  type: python
  inputs:
    prompt: ${hello_prompt.output}
    connection: basic_custom_connection
  source:
    type: code
    path: shout.py
- name: count
  type: python
  inputs:
    said: ${shout.output}
  aggregation: true
  source:
    type: code
    path: count.py
"""

PROMPT = "{# Please replace the template with your own prompt. #}\nsay {{text}} twice"

SHOUT = """\
from promptflow import tool
from promptflow.connections import CustomConnection
from promptflow.tracing import start_trace, trace

start_trace()


@trace
def louder(text: str) -> str:
    return text.upper()


@tool
def shout(prompt: str, connection: CustomConnection) -> str:
    assert connection.secrets["api_key"] == "k-123"
    return louder(prompt) + " " + connection.configs["mark"]
"""

COUNT = """\
from typing import List
from promptflow.core import log_metric, tool


@tool
def count(said: List[str]):
    log_metric(key="count", value=len(said))
    return len(said)
"""

CONNECTION = "type: custom\nconfigs:\n  mark: '!'\nsecrets:\n  api_key: k-123\n"


@pytest.fixture
def flow(tmp_path: Path, home: Path) -> Path:
    (home / "connections").mkdir()
    (home / "connections" / "basic_custom_connection.yaml").write_text(CONNECTION)
    files = {
        "dag": DAG,
        "hello__jinja2": PROMPT,
        "shout__py": SHOUT,
        "count__py": COUNT,
        "requirements__txt": "promptflow\n",
    }
    return flows_of.write(tmp_path / "basic", **files)


def test_an_unmodified_flow_runs(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pf("flow", "test", "--flow", flow, "--inputs", "text=hi") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"output_prompt": "SAY HI TWICE !"}
    assert "metric count = 1" in err
    assert "k-123" not in out + err


def test_an_unmodified_flow_validates_without_importing_anything(flow: Path) -> None:
    (flow / "shout.py").write_text("raise SystemExit(9)\n" + SHOUT)
    assert pf("flow", "validate", "--source", flow) == 0


def test_a_name_that_is_not_there_is_told_before_anything_runs(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (flow / "count.py").write_text("from promptflow.core import Nothing, tool\n" + COUNT)
    assert pf("flow", "test", "--flow", flow) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "promptflow.core.Nothing is not part of promptflow_lite; docs/compat.md lists what is" in err
    assert "count.py" in err


def test_a_flow_is_loaded_by_a_script_as_the_original_does(flow: Path) -> None:
    from promptflow_lite.compat.client import load_flow
    from promptflow_lite.compat.core import Flow

    assert load_flow(flow)(text="a") == {"output_prompt": "SAY A TWICE !"}
    assert Flow.load(flow)(text="b") == {"output_prompt": "SAY B TWICE !"}
