"""A packed flow as MLflow's users have it: loaded, served, registered, deployed by alias, run in Spark."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import pandas
import pytest

from promptflow_lite.errors import NodeError, UserError
from tests.flows_of import echo, write
from tests.model_server import ModelServer
from tests.serving.endpoints.desk import Desk
from tests.serving.endpoints.desk import flow as saying
from tests.serving.endpoints.desk import run as pf
from tests.serving.served import chat_flow
from tests.waiting import until

pytestmark = [
    # MLflow's own: what it uses of others that they take away.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MANY = """\
inputs:
  tags: {type: list, default: []}
  text: {type: string}
outputs:
  words: {type: list, reference: "${count.output.words}"}
  n: {type: int, reference: "${count.output.n}"}
  hidden: {type: int, reference: "${count.output.n}", evaluation_only: true}
nodes:
- name: count
  type: python
  source: {type: code, path: count.py}
  inputs: {text: "${inputs.text}", tags: "${inputs.tags}"}
"""
COUNT = """\
from promptflow_lite import tool


@tool
def count(text: str, tags: list) -> dict:
    if text == "bad":
        raise ValueError("cannot count that")
    words = [*text.split(), *tags]
    return {"words": words, "n": len(words)}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "promptflow_lite-9.9-py3-none-any.whl"
    path.write_bytes(b"")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    folder = tmp_path_factory.mktemp("model")
    out = folder / "model"
    build(write(folder / "many", dag=MANY, count__py=COUNT), wheel, "--output", out)
    return out


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with nothing in it: MLflow takes seconds to make one."""
    import mlflow

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{file}").search_registered_models()
    return file


@pytest.fixture
def store(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a registry of this test's own, which the commands find by `MLFLOW_TRACKING_URI`."""
    import mlflow

    uri = f"sqlite:///{shutil.copy(empty, tmp_path / 'mlflow.db')}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return mlflow.MlflowClient(tracking_uri=uri)


def build(flow: Path, wheel: Path, *args: object) -> str:
    return pf(
        "flow", "build", "--source", str(flow), "--format", "mlflow", "--wheel", str(wheel), *map(str, args)
    )


def loaded(uri: object, **config: Any) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(str(uri), model_config=config or None)


def records(table: pandas.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(k): None if v is None or v != v else v for k, v in row.items()}
        for row in table.to_dict(orient="records")
    ]


def test_the_model_says_what_it_takes_gives_and_needs(model: Path) -> None:
    from mlflow.models import Model

    said = Model.load(str(model))
    assert said.signature is not None
    assert [(c["name"], c["type"], c["required"]) for c in said.signature.inputs.to_dict()] == [
        ("text", "string", True),
        ("tags", "any", False),
    ]
    assert [(c["name"], c["type"]) for c in said.signature.outputs.to_dict()] == [("n", "long")]
    example: Any = said.load_input_example(str(model))
    assert example == {"text": "text"}
    assert said.metadata is not None
    assert (model / said.metadata["promptflow_lite"]["source"]).name == "flow.dag.yaml"
    needs = (model / "requirements.txt").read_text(encoding="utf-8").split()
    assert needs[0] == "wheels/promptflow_lite-9.9-py3-none-any.whl"
    assert (model / needs[0]).is_file()
    assert needs[1].startswith("mlflow==")
    assert [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")] == []


def test_a_table_a_mapping_and_a_list_of_them_are_lines(model: Path) -> None:
    flow = loaded(model)
    assert records(flow.predict({"text": "a b"})) == [{"words": ["a", "b"], "n": 2}]
    assert records(flow.predict([{"text": "a", "tags": ["x"]}, {"text": "c"}])) == [
        {"words": ["a", "x"], "n": 2},
        {"words": ["c"], "n": 1},
    ]
    table = pandas.DataFrame({"text": ["a", "b c"], "tags": [["y"], None]})
    assert records(flow.predict(table)) == [{"words": ["a", "y"], "n": 2}, {"words": ["b", "c"], "n": 2}]


def test_a_failed_line_fails_the_table_or_is_kept_as_asked(model: Path) -> None:
    lines = [{"text": "a"}, {"text": "bad"}]
    with pytest.raises(NodeError, match="line 1: node 'count': ValueError: cannot count that"):
        loaded(model).predict(lines)
    assert records(loaded(model, on_error="keep").predict(lines)) == [
        {"words": ["a"], "n": 1, "error": None},
        {"words": None, "n": None, "error": "node-error: node 'count': ValueError: cannot count that"},
    ]


def test_what_is_shown_and_how_it_is_loaded_is_configured(model: Path) -> None:
    assert records(loaded(model, outputs=["hidden"]).predict({"text": "a"})) == [{"hidden": 1}]
    with pytest.raises(UserError, match="on_error: expected raise or keep, got 'ignore'"):
        loaded(model, on_error="ignore")


def test_a_chat_flow_streams_by_the_packed_connection(
    tmp_path: Path, wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(answer="red green blue") as server:
        (home / "connections").mkdir()
        (home / "connections" / "open_ai_connection.yaml").write_text(
            f"type: open_ai\nbase_url: {server.base_url}\napi_key: sk-at-home\n", encoding="utf-8"
        )
        build(chat_flow(tmp_path / "chat"), wheel, "--output", tmp_path / "model")
        shutil.rmtree(home / "connections")  # it is loaded where nobody has it
        monkeypatch.setenv("OPEN_AI_CONNECTION_API_KEY", "sk-over-there")
        assert "sk-at-home" not in "".join(
            path.read_text("utf-8", "replace") for path in (tmp_path / "model").rglob("*") if path.is_file()
        )
        flow = loaded(tmp_path / "model")
        parts = list(flow.predict_stream({"question": "Which?"}))
        assert len(parts) > 2
        assert "".join(part.get("answer", "") for part in parts) == "red green blue"
        assert parts[-1] == {"turns": 0}
        assert server.requests[-1].headers["authorization"] == "Bearer sk-over-there"


def test_mlflow_serves_it(model: Path, tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    beside = Path(sys.executable).parent  # MLflow looks for uvicorn
    environ = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    log = (tmp_path / "log").open("w")
    serving = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environ)
    try:

        def answers() -> bool:
            assert serving.poll() is None, (tmp_path / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            except OSError:
                return False
            return True

        until(answers, (tmp_path / "log").read_text, seconds=240)
        body = json.dumps({"inputs": [{"text": "a b", "tags": ["x"]}, {"text": "c"}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {
                "predictions": [{"words": ["a", "b", "x"], "n": 3}, {"words": ["c"], "n": 1}]
            }
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(60)
        log.close()


def test_a_deployment_follows_an_alias_when_it_is_updated(tmp_path: Path, wheel: Path, store: Any) -> None:
    source = saying(tmp_path / "flow", "first")
    registering = ("--register", "talker", "--alias", "champion")
    assert build(source, wheel, *registering) == "models:/talker@champion\n"
    with Desk(tmp_path) as desk:
        pf(
            *["deployment", "create", "-n", "blue", "-e", "my-endpoint", "--all-traffic"],
            "--set",
            "model=models:/talker@champion",
        )
        assert desk.score() == (200, {"text": "first"})
        saying(tmp_path / "flow", "second")
        build(source, wheel, *registering)
        assert desk.score() == (200, {"text": "first"})  # what is deployed stays what it is
        assert _shown()["flow"] == "models:/talker/1"
        pf(*["deployment", "update", "-n", "blue", "-e", "my-endpoint"])
        assert desk.score() == (200, {"text": "second"})
        assert (_shown()["flow"], _shown()["model"]) == ("models:/talker/2", "models:/talker@champion")
        pf(*["deployment", "update", "-n", "blue", "-e", "my-endpoint", "--set", "model=models:/talker/1"])
        assert desk.score() == (200, {"text": "first"})
    assert int(store.get_model_version_by_alias("talker", "champion").version) == 2


def test_jobs_run_a_model_and_mlflow_is_told_of_them(tmp_path: Path, wheel: Path, store: Any) -> None:
    source = saying(tmp_path / "flow", "first")
    registering = ("--register", "talker", "--alias", "champion")
    build(source, wheel, *registering)
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b'{"id": "r0", "text": "a"}\n')
    pf("batch-endpoint", "create", "--name", "my-batch")
    at = ("-n", "blue", "-e", "my-batch")
    model = "model=models:/talker@champion"
    pf("batch-deployment", "create", *at, "--set", model, "settings.tracking=true")
    asking = ("batch-endpoint", "invoke", "-n", "my-batch", "--input", str(data), "--stream", "-o", "json")
    job = json.loads(pf(*asking))
    written = Path(job["outputs"], "predictions.csv").read_text(encoding="utf-8")
    assert written.splitlines()[1:] == ["0,r0,first,"]
    saying(tmp_path / "flow", "second")
    build(source, wheel, *registering)
    pf("batch-deployment", "update", *at)
    shown = json.loads(pf("batch-deployment", "show", *at, "-o", "json"))
    assert (shown["flow"], shown["model"]) == ("models:/talker/2", "models:/talker@champion")
    both = ("--set", f"flow={tmp_path / 'flow'}", model)
    assert "a flow or a model, not both" in pf("batch-deployment", "update", *at, *both, code=2)
    until(lambda: _told(store) == {job["name"]: "FINISHED"}, Path(job["log"]).read_text)


def _told(store: Any) -> dict[str, str]:
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    return {run.info.run_name: run.info.status for run in store.search_runs(experiments)}


def _echo(model_input: pandas.DataFrame) -> pandas.DataFrame:
    return model_input


def _shown() -> dict[str, Any]:
    shown = pf(*"deployment show -n blue -e my-endpoint -o json".split())  # noqa: SIM905
    found: dict[str, Any] = json.loads(shown)
    return found


def test_what_cannot_be_deployed_is_told_and_changes_nothing(tmp_path: Path, store: Any) -> None:
    import mlflow

    pf("endpoint", "create", "--name", "my-endpoint")

    def refused(model: str, code: int = 2) -> str:
        asked = f"deployment create -n blue -e my-endpoint --set model={model}".split()
        return pf(*asked, code=code)

    assert "there is no such model in MLflow" in refused("models:/nobody@champion")
    assert "there is no such model in MLflow" in refused("models:/nobody/1")
    assert "is no address of a model" in refused("models:/nobody")
    assert "expected the address of a model in MLflow" in refused("azureml:nobody:1")
    other = mlflow.pyfunc.log_model(name="other", python_model=_echo, pip_requirements=[])
    assert "is a model, and holds no flow" in refused(other.model_uri)
    assert json.loads(pf("deployment", "list", "-e", "my-endpoint", "-o", "json")) == []


def test_a_model_that_points_out_of_its_folder_is_not_deployed(model: Path, tmp_path: Path) -> None:
    from promptflow_lite.integrations.mlflow_model.fetch import source_of

    outside = echo(tmp_path / "outside") / "flow.dag.yaml"
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    text = (copied / "MLmodel").read_text(encoding="utf-8")
    assert source_of(copied, "models:/a/1").endswith("flow.dag.yaml")
    for lie in (str(outside), "../outside/flow.dag.yaml", "nothing.yaml"):
        said = text.replace("artifacts/flow/flows/many/flow.dag.yaml", lie)
        (copied / "MLmodel").write_text(said, encoding="utf-8")
        with pytest.raises(UserError, match="holds no flow"):
            source_of(copied, "models:/a/1")


def test_a_registry_that_is_away_is_told(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    asked = ["flow", "build", "--source", str(echo(tmp_path / "flow")), "--format", "mlflow"]
    said = pf(*asked, "--register", "x", code=1)
    assert (
        "MLflow at http://127.0.0.1:9" in said and "MLFLOW_TRACKING_URI" in said and "Traceback" not in said
    )
    assert "--output DIR, or --register NAME" in pf(*asked, code=2)
    assert "--register" in pf(*asked, "--output", str(tmp_path / "m"), "--alias", "a", code=2)


def test_spark_runs_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("there is no java for Spark")
    import mlflow

    warnings.simplefilter("ignore")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for key in ("spark.driver.bindAddress", "spark.driver.host"):
        builder = builder.config(key, "127.0.0.1")
    spark = builder.getOrCreate()
    try:
        call = mlflow.pyfunc.spark_udf(
            spark,
            str(model),
            env_manager="local",
            result_type="words array<string>, n long, error string",
            model_config={"on_error": "keep"},
        )
        table = spark.createDataFrame([("a b", ["x"]), ("bad", [])], ["text", "tags"])
        rows = table.select(call("text", "tags").alias("out")).select("out.*").collect()
        assert [row.asDict() for row in rows] == [
            {"words": ["a", "b", "x"], "n": 3, "error": None},
            {
                "words": None,
                "n": None,
                "error": "node-error: node 'count': ValueError: cannot count that",
            },
        ]
        by_signature = mlflow.pyfunc.spark_udf(spark, str(model), env_manager="local")
        assert [row[0] for row in table.limit(1).select(by_signature("text")).collect()] == [2]
    finally:
        spark.stop()
