"""An endpoint's folder: changes one at a time, copies of flows, what is refused."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from promptflow_lite.errors import UserError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.endpoints.spec import Affinity, DeploymentSpec, EndpointSpec, Probe, Rollout
from promptflow_lite.serving.endpoints.store import Endpoints, Kept
from tests.flows_of import ECHO, ECHO_TOOL, echo, write
from tests.serving.endpoints.desk import run


@pytest.fixture
def kept(home: Path) -> Kept:
    return Endpoints(home).create("my-endpoint", EndpointSpec(name="my-endpoint").to_json())


def test_what_is_kept_is_read_again(kept: Kept) -> None:
    deployment = DeploymentSpec(
        name="blue", source="a", flow="b", liveness_probe=Probe(period=3), environment_variables={"A": "1"}
    )
    spec = EndpointSpec(
        name="my-endpoint",
        traffic={"blue": 100},
        affinity=Affinity(header="X-Session-Id"),
        rollout=Rollout(min_requests=3),
        deployments={"blue": deployment},
    )
    assert kept.change(lambda _: spec) == replace(spec, change=1)
    assert kept.read() == replace(spec, change=1)


def test_changes_at_once_are_all_kept(kept: Kept) -> None:
    def add(name: str) -> None:
        for number in range(10):
            kept.change(lambda spec: replace(spec, tags={**spec.tags, f"{name}{number}": ""}))  # noqa: B023

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(kept.read().tags) == 40
    assert kept.read().change == 40


def test_a_change_that_cannot_be_leaves_all_as_it_was(kept: Kept) -> None:
    with pytest.raises(UserError) as raised:
        kept.change(lambda spec: replace(spec, traffic={"blue": 100}))
    assert raised.value.code == "bad-traffic"
    assert kept.read() == EndpointSpec(name="my-endpoint")


def test_a_copy_has_the_flow_and_what_it_includes(kept: Kept, tmp_path: Path) -> None:
    write(tmp_path / "shared" / "lib", helper__py="NAME = 'copied'\n")
    tool = ECHO_TOOL.replace("text * times", "helper.NAME").replace(
        "from prompt", "import helper\nfrom prompt"
    )
    dag = f"{ECHO}additional_includes: [../../shared/lib/helper.py]\n"
    source = write(tmp_path / "flows" / "bot", dag=dag, echo__py=tool)
    (source / ".venv").mkdir()
    (source / ".venv" / "large").write_text("x")
    copied = Path(kept.copy(load_flow(source), "blue"))
    (tmp_path / "shared" / "lib" / "helper.py").unlink()
    assert flow_of(copied).additional_includes == ("../../shared/lib/helper.py",)
    assert not (copied.parent / ".venv").exists()
    assert kept.folder.resolve() in copied.resolve().parents


def test_a_copy_that_nothing_is_loaded_from_goes_but_not_a_fresh_one(kept: Kept, tmp_path: Path) -> None:

    old, used, fresh = (kept.copy(load_flow(echo(tmp_path / "bot")), name) for name in ("a", "b", "c"))
    for path in (old, used):
        os.utime(Path(path).parents[1], (0, 0))
    kept.sweep([used])
    assert [Path(path).exists() for path in (old, used, fresh)] == [False, True, True]


def test_names_are_said_to_be_wrong(kept: Kept) -> None:
    assert "expected a letter, then" in run("endpoint", "create", "--name", "1", code=2)
    assert "is there already" in run("endpoint", "create", "--name", "my-endpoint", code=2)
    assert "did you mean 'my-endpoint'?" in run("endpoint", "show", "--name", "my-endpint", code=2)
    assert "has no deployment 'blue'" in run("deployment", "show", "-n", "blue", "-e", "my-endpoint", code=2)
    assert "needs a flow" in run("deployment", "create", "-n", "blue", "-e", "my-endpoint", code=2)


def test_a_damaged_state_is_said_to_be_damaged(kept: Kept) -> None:
    kept.state.write_text("{")
    assert "damaged" in run("endpoint", "show", "--name", "my-endpoint", code=2)


def test_an_endpoint_is_made_whole_or_not_at_all(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yml"
    echo(tmp_path / "bot")
    body = "name: bot-endpoint\ntraffic: {blue: 100}\ndeployments:\n- {name: blue, flow: bot}\n"
    file.write_text(body + "- {name: green, flow: nothing}\n")
    run("endpoint", "create", "--file", str(file), code=2)
    assert json.loads(run("endpoint", "list", "-o", "json")) == []
    file.write_text(body)
    run("endpoint", "create", "--file", str(file))
    (found,) = json.loads(run("endpoint", "list", "-o", "json"))
    assert (found["traffic"], found["scoring_uri"]) == ({"blue": 100}, None)


def test_secrets_of_a_deployment_are_not_shown(kept: Kept, tmp_path: Path) -> None:
    source = str(echo(tmp_path / "bot"))
    settings = f"flow={source}", "environment_variables.TOKEN=a-secret-value"
    run("deployment", "create", "-n", "blue", "-e", "my-endpoint", "--set", *settings)
    shown = run("deployment", "show", "-n", "blue", "-e", "my-endpoint", "-o", "json")
    assert json.loads(shown)["environment_variables"] == {"TOKEN": "***"}
    assert kept.state.stat().st_mode & 0o077 == 0
    run("deployment", "update", "-n", "blue", "-e", "my-endpoint", "--set", "instance_count=2")
    changed = kept.read().deployments["blue"]
    assert (changed.instance_count, changed.environment_variables) == (2, {"TOKEN": "a-secret-value"})
