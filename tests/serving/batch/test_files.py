"""What batch_endpoint.yml and batch_deployment.yml may hold: Azure's files are read, mistakes placed."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError
from promptflow_lite.serving.batch import files
from promptflow_lite.serving.batch.spec import BatchDeploymentSpec, RetrySettings, Settings

AZURES = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: classifier-blue
endpoint_name: classifier
description: As in Azure's own examples, with a flow.
type: model
flow: echo
code_configuration: {code: code, scoring_script: batch_driver.py}
environment: azureml:env@latest
compute: azureml:batch-cluster
resources:
  instance_count: 2
settings:
  max_concurrency_per_instance: 2
  mini_batch_size: 5
  output_action: append_row
  output_file_name: predictions.jsonl
  retry_settings: {max_retries: 3, timeout: 300}
  error_threshold: -1
  logging_level: INFO
  environment_variables: {LEVEL: 3}
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "file.yml"
    path.write_text(text)
    return path


def test_a_deployment_of_azures_is_read_and_what_it_alone_knows_is_named(tmp_path: Path) -> None:
    asked = files.deployment(_file(tmp_path, AZURES), {})
    (note,) = asked.notes
    assert note.endswith("is not heard: code_configuration, compute, environment, type")
    body = {key: value for key, value in asked.body.items() if key != "endpoint_name"}
    spec = BatchDeploymentSpec.of_json({**body, "source": body["flow"]})
    assert spec.flow == str(tmp_path / "echo")
    assert spec.workers == 4
    assert spec.settings == Settings(
        mini_batch_size=5,
        max_concurrency_per_instance=2,
        output_file_name="predictions.jsonl",
        retry_settings=RetrySettings(max_retries=3, timeout=300),
        error_threshold=-1,
        logging_level="INFO",  # type: ignore[arg-type]  # deploying makes it lower case
        environment_variables={"LEVEL": "3"},
    )


def test_settings_of_older_files_stand_at_the_top(tmp_path: Path) -> None:
    old = "name: blue\nflow: echo\nmini_batch_size: 4\nretry_settings: {max_retries: 1}\n"
    assert files.deployment(_file(tmp_path, old), {}).body["settings"] == {
        "mini_batch_size": 4,
        "retry_settings": {"max_retries": 1},
    }


def test_every_mistake_is_placed(tmp_path: Path) -> None:
    text = (
        "name: b\nmodel: azureml:m@latest\nsetings: {}\nsettings:\n  mini_batch_size: none\n"
        "  output_file_name: ../x.csv\n  output_action: append\n  environment_variables: {LD_PRELOAD: x}\n"
    )
    with pytest.raises(FlowError) as caught:
        files.deployment(_file(tmp_path, text), {})
    found = [(d.code, d.mark and (d.mark.line, d.mark.key)) for d in caught.value.diagnostics]
    assert found == [
        ("wrong-type", (1, "name")),
        ("wrong-type", (2, "model")),
        ("unknown-key", (3, "setings")),
        ("wrong-type", (5, "settings.mini_batch_size")),
        ("wrong-type", (6, "settings.output_file_name")),
        ("wrong-type", (7, "settings.output_action")),
        ("forbidden-variable", (8, "settings.environment_variables.LD_PRELOAD")),
    ]


def test_an_endpoint_names_folders_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    asked = files.endpoint(
        _file(tmp_path, "name: abc\ndata_folders: [incoming]\njobs: {max_running: 2}\n"), {}
    )
    assert asked.body["data_folders"] == [str(tmp_path / "incoming")]
    bad = "name: abc\nauth_mode: aad_token\ndata_folders: [incoming, absent]\n"
    with pytest.raises(FlowError) as caught:
        files.endpoint(_file(tmp_path, bad), {})
    assert [d.code for d in caught.value.diagnostics] == ["not-supported"]
    with pytest.raises(FlowError) as caught:
        files.endpoint(_file(tmp_path, bad.replace("aad_token", "key")), {})
    assert [d.code for d in caught.value.diagnostics] == ["data-not-found"]
