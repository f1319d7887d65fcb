"""run.yaml: what Prompt flow's run files ask for, and every complaint with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.runs.request import of_env_file, of_yaml


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_run_file_of_prompt_flow_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    file = _write(
        tmp_path / "run.yaml",
        """\
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Run.schema.json
flow: ../web
data: data.jsonl
variant: ${summarize.variant_1}
column_mapping:
  url: ${data.url}
  k: 3
environment_variables:
  REGION: west
  LIST: [1, 2]
connections:
  classify: {connection: mine, deployment_name: gpt}
tags: {team: 1}
runtime: automatic
""",
    )
    fields, notes = of_yaml(file)
    assert fields == {
        "flow": str(tmp_path.parent / "web"),
        "data": str(tmp_path / "data.jsonl"),
        "variant": "${summarize.variant_1}",
        "column_mapping": {"url": "${data.url}", "k": 3},
        "environment_variables": {"REGION": "west", "LIST": "[1, 2]"},
        "connections": {"classify": {"connection": "mine", "deployment_name": "gpt"}},
        "tags": {"team": "1"},
    }
    assert len(notes) == 1
    assert "'runtime'" in notes[0]


def test_an_evaluator_is_a_name_and_not_a_path(tmp_path: Path) -> None:
    fields, _ = of_yaml(_write(tmp_path / "run.yaml", "flow: evaluator:qa_text\nrun: base\n"))
    assert fields["flow"] == "evaluator:qa_text"


def test_every_complaint_comes_with_its_place(tmp_path: Path) -> None:
    text = "flow: x\ncolumn_maping: {a: b}\nconcurrency: 0\n\nerror_threshold: many\ninit: [a]\n"
    with pytest.raises(FlowError) as caught:
        of_yaml(_write(tmp_path / "run.yaml", text))
    found = [(d.code, d.mark.line if d.mark else 0, d.hint) for d in caught.value.diagnostics]
    assert found == [
        ("unknown-key", 2, "did you mean 'column_mapping'?"),
        ("wrong-type", 3, None),
        ("wrong-type", 5, None),
        ("wrong-type", 6, None),
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "just text"])
def test_a_file_without_keys_is_no_run_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(FlowError):
        of_yaml(_write(tmp_path / "run.yaml", text))


def test_variables_of_an_env_file(tmp_path: Path) -> None:
    _write(tmp_path / "x.env", "# keys\nA=1\nexport B='two words'\n\nC=a=b\n")
    assert of_env_file(tmp_path / "x.env") == {"A": "1", "B": "two words", "C": "a=b"}
    fields, _ = of_yaml(_write(tmp_path / "run.yaml", "flow: .\nenvironment_variables: x.env\n"))
    assert fields["environment_variables"]["A"] == "1"
    with pytest.raises(UserError, match=r"y\.env:2"):
        of_env_file(_write(tmp_path / "y.env", "A=1\nwrong\n"))
