"""Prompts of MLflow's registry as sources of nodes, and a flow's own prompts in the registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pydantic import BaseModel

from promptflow_lite.cli.main import main
from promptflow_lite.runs.store import RunStore
from tests.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's client

FLOW = """\
inputs:
  who: {type: string, default: Ann}
outputs:
  text: {type: string, reference: "${greet.output}"}
nodes:
- name: greet
  type: prompt
  source: {type: code, path: "SOURCE"}
  inputs: {who: "${inputs.who}"}
"""
ASKING = """\
inputs:
  who: {type: string, default: Ann}
outputs:
  text: {type: string, reference: "${greet.output}"}
nodes:
- name: greet
  type: llm
  source: {type: code, path: "prompts:/greeting@prod"}
  inputs: {who: "${inputs.who}", INPUTS}
"""
PICKY = """\
- name: stop
  type: python
  source: {type: code, path: stop.py}
  inputs: {text: "${greet.output}"}
"""
STOP = """\
from pathlib import Path
from promptflow_lite import tool


@tool
def stop(text: str) -> str:
    if "Bob" in text and not Path(__file__).with_name("fixed").exists():
        raise ValueError("not yet")
    return text
"""


class Registry:
    """A flow that greets by a registered prompt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")

    def register(
        self, text: str | list[dict[str, Any]], alias: str | None = "prod", **registered: Any
    ) -> int:
        version = int(self.client.register_prompt("greeting", text, **registered).version)
        if alias:
            self.client.set_prompt_alias("greeting", alias, version)
        return version

    def flow(self, source: str = "prompts:/greeting@prod", more: str = "") -> Path:
        flow = self.folder / "flow"
        flow.mkdir(exist_ok=True)
        (flow / "flow.dag.yaml").write_text(FLOW.replace("SOURCE", source) + more)
        return flow


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def registry(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    shutil.copyfile(empty, tmp_path / "mlflow.db")
    return Registry(tmp_path)


def pf(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """The exit code of `pf`, what it wrote and what it said."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


def test_a_node_takes_the_version_that_its_alias_is_at(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("Hello {{ who }}!")
    registry.register("Hi {{ who }}!", alias=None)
    flow = registry.flow()
    assert "Hello Ann!" in pf(capsys, "flow", "test", "--flow", flow)[1]
    registry.flow("prompts:/greeting/2")
    assert "Hi Ann!" in pf(capsys, "flow", "test", "--flow", flow)[1]


def test_a_chat_prompt_keeps_its_roles(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.register(
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Greet {{ who }}"}]
    )
    out = pf(capsys, "flow", "test", "--flow", registry.flow())[1]
    assert "system:" in out
    assert "Greet Ann" in out


def test_data_opens_no_role_in_a_registered_prompt_and_its_template_is_sandboxed(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("{{ who.__class__.__mro__ }}")
    code, out, err = pf(capsys, "flow", "test", "--flow", registry.flow())
    assert code != 0 or "object" not in out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("prompts:/greeting@gone", "prompt-not-found"),
        ("prompts:/greeting/99", "prompt-not-found"),
        ("prompts:/absent/1", "prompt-not-found"),
        ("prompts:/greeting", "bad-prompt-uri"),
        ("prompts:greeting/1", "bad-prompt-uri"),
    ],
)
def test_what_is_wrong_with_a_name_is_said_with_its_place(
    registry: Registry, capsys: pytest.CaptureFixture[str], source: str, code: str
) -> None:
    registry.register("Hello {{ who }}!")
    ended, _, err = pf(capsys, "flow", "test", "--flow", registry.flow(source))
    assert ended == 2
    assert f"[{code}]" in err
    assert "flow.dag.yaml:8:" in err


def test_a_flow_is_validated_without_the_registry(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert pf(capsys, "flow", "validate", "--source", registry.flow())[0] == 0
    code, _, err = pf(capsys, "flow", "test", "--flow", registry.flow())
    assert code == 2
    assert "[prompts-away]" in err
    assert "Connection refused" in err


def test_a_run_goes_on_with_the_version_that_it_began_with(
    registry: Registry, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    registry.register("Hello {{ who }}!")
    flow = registry.flow(more=PICKY)
    (flow / "stop.py").write_text(STOP)
    data = registry.folder / "data.jsonl"
    data.write_text('{"who": "Ann"}\n{"who": "Bob"}\n')
    asked = ("run", "create", "--flow", flow, "--data", data, "--name", "base")
    assert pf(capsys, *asked)[0] == 3
    run = RunStore(home / "runs").load("base")
    assert run.prompts == {"prompts:/greeting@prod": "prompts:/greeting/1"}
    told = registry.client.get_run(run.tracking["mlflow_run_id"])
    assert told.data.params["greet.prompt"] == "prompts:/greeting/1"
    assert json.loads(told.data.tags["mlflow.linkedPrompts"]) == [{"name": "greeting", "version": "1"}]

    registry.register("Goodbye {{ who }}!")
    (flow / "fixed").touch()
    code, _, err = pf(capsys, "run", "resume", "base", "--retry-failed", "--force")
    assert code == 0, err
    rows = [json.loads(line) for line in (home / "runs/base/outputs.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["Hello Ann!", "Hello Bob!"]

    code, _, err = pf(capsys, "run", "create", "--name", "again", "--resume-from", "base")
    assert code == 2
    assert "prompts:/greeting@prod was prompts:/greeting/1, is prompts:/greeting/2" in err


def test_worker_processes_have_the_prompt_of_their_run(
    registry: Registry, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    registry.register("Hello {{ who }}!")
    data = registry.folder / "data.jsonl"
    data.write_text('{"who": "Ann"}\n')
    asked = ("run", "create", "--flow", registry.flow(), "--data", data, "--name", "base", "--workers", 1)
    assert pf(capsys, *asked, "--no-tracking")[0] == 0
    assert "Hello Ann!" in (home / "runs/base/outputs.jsonl").read_text()


def test_a_packed_flow_has_its_prompts_and_needs_no_registry(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("Hello {{ who }}!")
    wheel = registry.folder / "promptflow_lite-9.9-py3-none-any.whl"
    wheel.write_bytes(b"")
    asked = ("flow", "build", "--source", registry.flow(), "--output", "dist", "--wheel", wheel)
    code, _, err = pf(capsys, *asked)
    assert code == 0
    assert "prompts:/greeting@prod is prompts:/greeting/1 and stays so here" in err
    assert "mlflow==" not in (registry.folder / "dist/requirements.txt").read_text()
    registry.register("Goodbye {{ who }}!")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "Hello Ann!" in pf(capsys, "flow", "test", "--flow", "dist/flows/flow")[1]
    assert pf(capsys, *asked[:-4], "--output", "other", "--wheel", wheel)[0] == 2
    assert not (registry.folder / "other").exists()


def test_a_flows_prompts_are_registered_once_for_each_text(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = registry.flow("greet.jinja2")
    (flow / "greet.jinja2").write_text("Hello {{who}}")
    asked = ("flow", "register-prompts", "--source", flow, "--alias", "prod", "--output", "json")
    first = {"node": "greet", "variant": None, "uri": "prompts:/flow-greet/1", "is_new": True}
    assert json.loads(pf(capsys, *asked)[1]) == [first]
    assert json.loads(pf(capsys, *asked)[1]) == [{**first, "is_new": False}]
    (flow / "greet.jinja2").write_text("Hi {{who}}")
    assert json.loads(pf(capsys, *asked)[1])[0]["uri"] == "prompts:/flow-greet/2"
    registry.flow("prompts:/flow-greet@prod")
    assert "Hi Ann" in pf(capsys, "flow", "test", "--flow", flow)[1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


def asking(registry: Registry, inputs: str = "") -> Path:
    """A flow whose llm node takes the registered prompt."""
    flow = registry.flow()
    (flow / "flow.dag.yaml").write_text(ASKING.replace("INPUTS", inputs))
    return flow


REGISTERED = {
    "provider": "openai",
    "model_name": "gpt-registered",
    "temperature": 0.2,
    "max_tokens": 50,
    "stop_sequences": ["END"],
    "seed": 7,
}


def test_a_call_has_the_parameters_that_were_registered_with_its_prompt(
    registry: Registry, server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("user:\nGreet {{ who }}", model_config=REGISTERED)
    code, _, err = pf(capsys, "flow", "test", "--flow", asking(registry))
    assert code == 0, err
    sent = server.requests[-1].body
    assert sent["messages"] == [{"role": "user", "content": "Greet Ann"}]
    wanted = {"model": "gpt-registered", "temperature": 0.2, "max_tokens": 50, "stop": ["END"], "seed": 7}
    assert {name: sent.get(name) for name in wanted} == wanted
    assert "provider" not in sent


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ("temperature: 0, deployment_name: gpt-own", {"temperature": 0.0, "model": "gpt-own", "seed": 7}),
        ("max_completion_tokens: 9", {"max_completion_tokens": 9, "max_tokens": None}),
        ("temperature: null, max_tokens: ''", {"temperature": None, "max_tokens": 50}),
    ],
)
def test_what_a_node_says_goes_over_what_was_registered(
    registry: Registry,
    server: ModelServer,
    capsys: pytest.CaptureFixture[str],
    inputs: str,
    sent: dict[str, Any],
) -> None:
    registry.register("user:\nGreet {{ who }}", model_config=REGISTERED)
    assert pf(capsys, "flow", "test", "--flow", asking(registry, inputs))[0] == 0
    assert {name: server.requests[-1].body.get(name) for name in sent} == sent


def test_a_registered_class_is_the_form_of_the_answer(
    registry: Registry, server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    class Greeting(BaseModel):
        words: str

    registry.register("user:\nGreet {{ who }}", response_format=Greeting)
    assert pf(capsys, "flow", "test", "--flow", asking(registry))[0] == 0
    assert server.requests[-1].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "greeting", "schema": Greeting.model_json_schema()},
    }


def test_what_was_registered_and_is_no_parameter_is_said(
    registry: Registry, server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("user:\nGreet {{ who }}", model_config={"top_k": 5, "temperature": 0.1})
    code, _, err = pf(capsys, "flow", "test", "--flow", asking(registry))
    assert code == 0
    assert "prompts:/greeting/1: left out, no parameter of a chat call: top_k" in err
    assert "top_k" not in server.requests[-1].body
    registry.register("user:\nGreet {{ who }}", model_config={"seed": "many"})
    code, _, err = pf(capsys, "flow", "test", "--flow", asking(registry))
    assert code == 2
    assert "[bad-registered-prompt]" in err
    assert "flow.dag.yaml:8:" in err


def test_a_run_goes_on_with_the_parameters_that_it_began_with(
    registry: Registry, server: ModelServer, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    version = registry.register("user:\nGreet {{ who }}", model_config=REGISTERED)
    data = registry.folder / "data.jsonl"
    data.write_text('{"who": "Ann"}\n{"who": "Bob"}\n')
    asked = ("run", "create", "--flow", asking(registry), "--data", data, "--name", "base")
    over = ("--connections", "greet.temperature=0.5")
    assert pf(capsys, *asked, *over)[0] == 0
    told = registry.client.get_run(RunStore(home / "runs").load("base").tracking["mlflow_run_id"])
    assert told.data.params["model"] == "gpt-registered"
    assert told.data.params["max_tokens"] == "50"
    assert told.data.params["temperature"] == "0.5"
    assert {one.body["temperature"] for one in server.requests} == {0.5}

    key = "_mlflow_prompt_model_config"
    registry.client.set_prompt_version_tag("greeting", str(version), key, json.dumps({"temperature": 0.9}))
    code, _, err = pf(capsys, "run", "create", "--name", "again", "--resume-from", "base")
    assert code == 2
    assert "what was registered with prompts:/greeting@prod for the call" in err
