"""An endpoint as one image, and the files that run it: what they say, and that it is served so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from promptflow_lite.cli.endpoint_serve import applied
from tests.commands import pf
from tests.flows_of import echo, write
from tests.serving.endpoints.desk import flow as saying

KEY = "a-key-of-some-length-or-other"


@pytest.fixture
def endpoint(tmp_path: Path) -> Path:
    """An endpoint.yml with two deployments, whose flows have the same name."""
    saying(tmp_path / "v1" / "bot", "first")
    saying(tmp_path / "v2" / "bot", "second")
    file = tmp_path / "endpoint.yml"
    file.write_text(
        "name: Support-Bot\ntraffic: {blue: 100}\naffinity: {header: X-Session-Id}\ndeployments:\n"
        "- {name: blue, flow: v1/bot}\n- {name: green, flow: v2/bot, instance_count: 2}\n",
        encoding="utf-8",
    )
    return file


def build(file: Path, output: Path, *args: str, code: int = 0) -> Path:
    wheel = file.parent / "promptflow_lite-9.9-py3-none-any.whl"
    wheel.write_bytes(b"")
    asked = ["endpoint", "build", "--file", str(file), "--output", str(output), "--wheel", str(wheel)]
    assert pf(*asked, *args) == code
    return output


def documents(path: Path) -> list[Any]:
    return [*YAML(typ="safe").load_all(path.read_text(encoding="utf-8"))]


def test_compose_runs_one_service_that_gets_its_secrets_from_outside(tmp_path: Path, endpoint: Path) -> None:
    out = build(endpoint, tmp_path / "dist")
    (found,) = documents(out / "compose.yaml")
    (service,) = found["services"].values()
    assert service["build"] == "."
    assert service["environment"] == {"PF_SERVE_KEY": "${PF_SERVE_KEY:?set it in .env}"}
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert "./endpoint.yml:/app/endpoint.yml:ro" in service["volumes"]
    named = {volume.partition(":")[0] for volume in service["volumes"]} - {"./endpoint.yml"}
    assert named == found["volumes"].keys()
    made = re.search(r"mkdir -p (\S+) (\S+) && chown -R 10001 home", (out / "Dockerfile").read_text("utf-8"))
    assert made is not None and {Path(path).name for path in made.groups()} == named  # else root's


def test_kubernetes_gets_probes_resources_and_secrets_by_reference(tmp_path: Path, endpoint: Path) -> None:
    out = build(endpoint, tmp_path / "dist", "--format", "kubernetes", "--image", "example.com/bot:3")
    config, deployment, service = documents(out / "kubernetes.yaml")
    assert [part["kind"] for part in (config, deployment, service)] == ["ConfigMap", "Deployment", "Service"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "example.com/bot:3"
    assert container["env"] == [
        {
            "name": "PF_SERVE_KEY",
            "valueFrom": {"secretKeyRef": {"name": "support-bot", "key": "PF_SERVE_KEY"}},
        }
    ]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["resources"]["limits"]["memory"] == "2048Mi"  # the door's process and three others
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert pod["terminationGracePeriodSeconds"] > 5 + 30  # what the server itself takes at most
    said = YAML(typ="safe").load(config["data"]["endpoint.yml"])
    assert said["traffic"] == {"blue": 100}
    assert [d["flow"] for d in said["deployments"]] == [
        "flows/blue/bot/flow.dag.yaml",
        "flows/green/bot/flow.dag.yaml",
    ]
    assert config["data"]["endpoint.yml"] == (out / "endpoint.yml").read_text(encoding="utf-8")


def test_a_change_of_the_traffic_is_a_change_of_the_pods(tmp_path: Path, endpoint: Path) -> None:
    def stamp() -> Any:
        out = build(endpoint, tmp_path / "dist", "--format", "kubernetes")
        return documents(out / "kubernetes.yaml")[1]["spec"]["template"]["metadata"]["annotations"]

    before = stamp()
    assert stamp() == before
    text = endpoint.read_text(encoding="utf-8")
    endpoint.write_text(text.replace("{blue: 100}", "{blue: 90, green: 10}"), encoding="utf-8")
    assert stamp() != before


def test_kubernetes_own_schemas_hold(tmp_path: Path, endpoint: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    out = build(endpoint, tmp_path / "dist", "--format", "kubernetes")
    for document in documents(out / "kubernetes.yaml"):
        validate.validate(document, validate.latest_version(), strict=True)


def test_what_is_wrong_is_told_at_once_and_nothing_is_made(
    tmp_path: Path, endpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version / "bot" / "echo.py").unlink()
    build(endpoint, tmp_path / "dist", code=2)
    assert capsys.readouterr().err.count("error[source-not-found]") == 2
    assert not (tmp_path / "dist").exists()
    endpoint.write_text("name: Support-Bot\n", encoding="utf-8")
    build(endpoint, tmp_path / "dist", code=2)
    assert "nothing to pack without deployments" in capsys.readouterr().err
    endpoint.write_text("name: Support-Bot\ndeployments: [{name: blue}]\n", encoding="utf-8")
    build(endpoint, tmp_path / "dist", code=2)
    assert "deployment 'blue' needs a flow" in capsys.readouterr().err


def test_variables_that_are_written_into_the_file_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    echo(tmp_path / "flow")
    write(tmp_path, endpoint__yml="")
    (tmp_path / "endpoint.yml").write_text(
        "name: bot\nauth_mode: none\ndeployments:\n"
        "- {name: blue, flow: flow, environment_variables: {TOKEN: abc}}\n",
        encoding="utf-8",
    )
    out = build(tmp_path / "endpoint.yml", tmp_path / "dist")
    assert "deployment 'blue' sets TOKEN: what is written there is in endpoint.yml" in capsys.readouterr().err
    (found,) = documents(out / "compose.yaml")
    assert "environment" not in found["services"]["bot"]


def test_a_deployment_that_left_the_file_stays_and_is_named(
    endpoint: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = applied(endpoint)
    assert "stays as it is" not in capsys.readouterr().err
    text = endpoint.read_text(encoding="utf-8").replace("{name: green", "{name: teal")
    endpoint.write_text(text, encoding="utf-8")
    assert applied(endpoint).read().deployments.keys() == {"blue", "green", "teal"}
    said = capsys.readouterr().err
    assert "deployment 'green' is not in" in said and "'blue' is not in" not in said
    assert f"pf deployment delete --name green --endpoint-name {first.name}" in said


def test_the_images_command_serves_both_deployments_with_the_key_it_is_given(
    tmp_path: Path, endpoint: Path
) -> None:
    out = build(endpoint, tmp_path / "dist")
    (said,) = re.findall(r"^CMD (.*)$", (out / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    command = [sys.executable, "-m", "promptflow_lite", *json.loads(said)[1:-1], "0"]
    command[command.index("--host") + 1] = "127.0.0.1"
    environ = {**os.environ, "PF_SERVE_KEY": KEY}
    serving = subprocess.Popen(command, cwd=out, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        first = serving.stderr.readline()
        found = re.search(r"at (http://127\.0\.0\.1:\d+)", first)
        assert found is not None, first  # no key is printed: it is the one that was given
        for deployment, text in (("blue", "first"), ("green", "second")):
            head = {
                "api-key": KEY,
                "azureml-model-deployment": deployment,
                "content-type": "application/json",
            }
            request = urllib.request.Request(f"{found[1]}/score", b'{"text": "a"}', head)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer) == {"text": text}
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 128 + signal.SIGTERM
    finally:
        serving.kill()
        serving.communicate()
