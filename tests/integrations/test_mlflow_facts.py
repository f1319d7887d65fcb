"""The parameters of a run in MLflow: what was in use, and nothing that was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.integrations.mlflow.facts import flow_of, params
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run

FLOW = """\
inputs:
  text: {type: string}
outputs:
  said: {type: string, reference: "${say.output}"}
nodes:
- name: plan
  type: llm
  source: {type: code, path: plan.jinja2}
  inputs: {deployment_name: small, temperature: 0.2, max_tokens: 20, text: "${inputs.text}"}
  connection: c
  api: chat
- name: say
  use_variants: true
node_variants:
  say:
    default_variant_id: short
    variants:
      short:
        node:
          type: llm
          source: {type: code, path: plan.jinja2}
          inputs: {deployment_name: small, temperature: 0, text: "${plan.output}"}
          connection: c
          api: chat
      long:
        node:
          type: llm
          source: {type: code, path: plan.jinja2}
          inputs: {deployment_name: large, temperature: 1, text: "${plan.output}"}
          connection: c
          api: chat
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "flow.dag.yaml").write_text(FLOW)
    (tmp_path / "plan.jinja2").write_text("user:\n{{ text }}\n")
    (tmp_path / "lines.jsonl").touch()
    return tmp_path


def told(place: Path, run: Run) -> dict[str, str]:
    found = params(run, flow_of(run, place), Records.read(place / "lines.jsonl"))
    return {key: value for key, value in found.items() if not key.startswith(("flow", "data"))}


def test_a_run_has_the_variants_in_use_and_what_its_models_were_told(place: Path) -> None:
    assert told(place, Run(name="r", flow=str(place))) == {
        "variant.say": "short",
        "plan.deployment_name": "small",
        "plan.temperature": "0.2",
        "plan.max_tokens": "20",
        "say.deployment_name": "small",
        "say.temperature": "0",
    }


def test_a_sweep_says_what_it_varies_and_not_what_the_flow_has_in_its_place(place: Path) -> None:
    matrix = {"say": ["short", "long"], "plan.temperature": [0, 1], "plan.model": ["a", "b"]}
    assert told(place, Run(name="s", flow=str(place), matrix=matrix)) == {
        "matrix.say": '["short", "long"]',
        "matrix.plan.temperature": "[0, 1]",
        "matrix.plan.model": '["a", "b"]',
        "plan.max_tokens": "20",
    }
