"""What endpoint.yml and deployment.yml may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.errors import FlowError
from promptflow_lite.serving.endpoints import files

AZURES = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: my-endpoint
flow: ../flows/support
environment: {image: x}
instance_type: Standard_DS3_v2
code_configuration: {code: ., scoring_script: score.py}
instance_count: 2
environment_variables: {LEVEL: 3}
request_settings: {request_timeout_ms: 90000}
liveness_probe: {period: 5}
data_collector: {collections: {model_inputs: {enabled: 'True', data: x}, request: {}}}
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "file.yml"
    path.write_text(text)
    return path


def test_a_file_written_for_azure_is_read_with_one_warning(tmp_path: Path) -> None:
    asked = files.deployment(_file(tmp_path, AZURES), {})
    assert asked.body == {
        "name": "blue",
        "endpoint_name": "my-endpoint",
        "flow": str(tmp_path.parent / "flows" / "support"),
        "instance_count": 2,
        "environment_variables": {"LEVEL": "3"},
        "request_settings": {"request_timeout_ms": 90000},
        "liveness_probe": {"period": 5},
        "data_collector": {"collections": {"model_inputs": {"enabled": "True"}}},
    }
    (note,) = asked.notes
    assert note.endswith(": code_configuration, data, environment, instance_type, request")


WRONG = """\
name: 1st
trafic: {blue: 90}
traffic: {blue: 90.5}
auth_mode: aml_token
affinity: {}
mirror_traffic: 10
deployments:
- name: blue
  request_settings: {request_timeout: 5}
- flow: x
"""


def test_all_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(FlowError) as raised:
        files.endpoint(_file(tmp_path, WRONG), {})
    found = [(d.code, d.mark.line if d.mark else 0) for d in raised.value.diagnostics]
    assert sorted(found, key=lambda pair: pair[1]) == [
        ("wrong-type", 1),
        ("unknown-key", 2),
        ("wrong-type", 3),
        ("not-supported", 4),
        ("missing-key", 5),
        ("wrong-type", 6),
        ("unknown-key", 9),
        ("missing-key", 10),
    ]
    text = str(raised.value)
    assert "did you mean 'traffic'?" in text
    assert "did you mean 'request_timeout_ms'?" in text
    assert "'auth_mode: key' asks callers for one of two keys" in text


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("environment_variables: {PATH: /tmp}", "forbidden-variable"),
        ("model: azureml:support:1", "wrong-type"),
        ("instance_count: 0", "wrong-type"),
        ("instance_count: true", "wrong-type"),
        ("request_settings: {max_queue_wait_ms: -1}", "wrong-type"),
        ("variants: [a]", "wrong-type"),
    ],
)
def test_a_deployments_wrong_value_is_refused(tmp_path: Path, line: str, code: str) -> None:
    with pytest.raises(FlowError) as raised:
        files.deployment(_file(tmp_path, f"name: blue\n{line}\n"), {})
    assert [d.code for d in raised.value.diagnostics] == [code]


def test_what_is_typed_goes_over_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "name: blue\nrequest_settings: {request_timeout_ms: 1, max_queue_wait_ms: 2}\n")
    asked = files.deployment(path, {"request_settings.request_timeout_ms": "90000", "tags.team": "a"})
    assert asked.body["request_settings"] == {"request_timeout_ms": 90000, "max_queue_wait_ms": 2}
    assert asked.body["tags"] == {"team": "a"}


@pytest.mark.parametrize("header", ["authorization", "a b", "x\\ny", ""])
def test_a_header_that_cannot_tell_chats_apart_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(FlowError):
        files.endpoint(_file(tmp_path, f'name: bot\naffinity: {{header: "{header}"}}\n'), {})
