"""What MLflow is told of runs, read back from a real SQLite store; and a server that is away."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from promptflow_lite.cli.main import main
from promptflow_lite.engine.events import Log
from promptflow_lite.engine.results import Status
from promptflow_lite.integrations.mlflow import MlflowTracker
from promptflow_lite.registry import Registry
from promptflow_lite.runs.batch import run_batch, tell
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, score_flow, shout_flow, write_rows

pytestmark = pytest.mark.filterwarnings("ignore")  # of the client that reads back


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A run, its evaluation, and the store that was told of both."""
    import asyncio

    folder = tmp_path_factory.mktemp("work")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    store = RunStore(folder / "runs")
    rows = [{"text": "a"}, {"text": "bad"}, {"text": "c"}]
    base = Run(
        name="base",
        flow=str(shout_flow(folder / "shout")),
        data=str(write_rows(folder / "data.jsonl", rows)),
        tags={"team": "a"},
        description="for people",
    )
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    score = Run(name="score", flow=str(score_flow(folder / "score")), run="base", column_mapping=mapping)
    how: dict[str, Any] = {"store": store, "connections": Connections(), "trackers": [MlflowTracker()]}
    runs = [
        asyncio.run(run_batch(base, **how)),
        asyncio.run(
            run_batch(score, **how, summarize=lambda lines: {"right": 1.0, "note": "text", "by": {"x": 2}})
        ),
    ]
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    yield {
        "base": runs[0],
        "score": runs[1],
        "client": MlflowClient(tracking_uri=uri),
        "uri": uri,
        "store": store,
    }
    patch.undo()


def test_the_default_store_is_the_one_that_a_plain_mlflow_ui_opens(told: dict[str, Any]) -> None:
    assert told["base"].tracking["mlflow_tracking_uri"] == told["uri"]
    assert told["base"].tracking["mlflow_open"] == f"mlflow ui --backend-store-uri {told['uri']}"
    assert told["store"].load("base").tracking == told["base"].tracking


def test_a_run_has_its_parameters_metrics_and_tags(told: dict[str, Any]) -> None:
    found = told["client"].get_run(told["base"].tracking["mlflow_run_id"])
    assert found.info.run_name == "base"
    assert found.info.status == "FINISHED"
    assert told["client"].get_experiment(found.info.experiment_id).name == "shout"
    assert found.data.params["flow"] == "shout"
    assert found.data.params["data_digest"] == told["base"].fingerprint["data"]
    metrics = found.data.metrics
    assert (metrics["count"], metrics["lines/completed"], metrics["lines/failed"]) == (2, 2, 1)
    assert metrics["latency_s/p50"] >= 0
    tags = found.data.tags
    assert tags["team"] == "a"
    assert tags["promptflow_lite.flow_digest"] == told["base"].fingerprint["flow"]
    assert tags["mlflow.note.content"] == "for people"
    dataset = found.inputs.dataset_inputs[0]
    assert dataset.dataset.name == "data.jsonl"
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "eval"}


def test_the_lines_are_a_table_and_the_flow_is_there(told: dict[str, Any], tmp_path: Path) -> None:
    run_id = told["base"].tracking["mlflow_run_id"]
    path = download_artifacts(
        f"runs:/{run_id}/outputs.json", dst_path=str(tmp_path), tracking_uri=told["uri"]
    )
    table = json.loads(Path(path).read_text())
    assert table["columns"] == [
        "line_number",
        "status",
        "inputs.text",
        "inputs.times",
        "outputs.shout",
        "error",
    ]
    assert table["data"][0] == [0, "Completed", "a", 2, "AA", None]
    assert "cannot shout bad" in table["data"][1][-1]
    frame = told["client"].load_table(told["base"].tracking["mlflow_experiment_id"], "outputs.json", [run_id])
    assert list(frame["outputs.shout"])[::2] == ["AA", "CC"]
    names = {file.path for file in told["client"].list_artifacts(run_id, "snapshot")}
    assert names == {"snapshot/flow.dag.yaml", "snapshot/shout.py", "snapshot/count.py"}
    assert "run/lines.jsonl" in {file.path for file in told["client"].list_artifacts(run_id, "run")}


def test_an_evaluation_is_a_child_of_the_run_that_it_scores(told: dict[str, Any]) -> None:
    base, score = (told["client"].get_run(told[name].tracking["mlflow_run_id"]) for name in ("base", "score"))
    assert score.data.tags["mlflow.parentRunId"] == base.info.run_id
    assert score.data.tags["mlflow.runType"] == "genai_evaluate"
    assert score.info.experiment_id == base.info.experiment_id
    assert score.data.metrics["right"] == 1.0
    assert score.data.metrics["by/x"] == 2
    assert score.data.metrics["lines/skipped"] == 1
    assert base.data.metrics["score.right"] == 1.0


def test_telling_twice_changes_nothing(told: dict[str, Any]) -> None:
    again = tell(told["base"], told["store"], [MlflowTracker()])
    assert again.tracking == told["base"].tracking
    experiment = told["base"].tracking["mlflow_experiment_id"]
    assert len(told["client"].search_runs([experiment])) == 2


def test_the_users_store_and_experiment_are_honoured(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mine.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    where = MlflowTracker().tell(told["base"], told["store"].folder("base"), None)
    assert where["mlflow_tracking_uri"] == uri
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment(where["mlflow_experiment_id"])
    assert experiment.name == "mine"
    assert experiment.artifact_location.startswith(tmp_path.as_uri())


def test_the_tracker_is_found_by_name() -> None:
    assert Registry("trackers").get("mlflow") is MlflowTracker


def _said_when_away(told: dict[str, Any]) -> list[str]:
    said: list[str] = []

    def listen(event: RunEvent) -> None:
        if isinstance(event, Log):
            said.append(event.text)

    run = tell(told["base"], told["store"], [MlflowTracker()], listen)
    assert run.status is Status.Completed
    assert run.tracking == told["base"].tracking
    return said


def test_a_server_that_is_away_costs_the_run_nothing(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden@127.0.0.1:{port}")
    said = _said_when_away(told)
    assert "pf run sync base" in said[0]
    assert "Connection refused" in said[0]
    assert "hidden" not in said[0]


def test_a_server_that_never_answers_is_given_up_on(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(silent.accept()[0])
                except OSError:
                    return

        threading.Thread(target=hold, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        said = _said_when_away(told)
        assert time.monotonic() - began < 15
        assert "pf run sync base" in said[0]
        for connection in held:
            connection.close()


def _pf(*args: str) -> object:
    """The exit code of `pf`."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    return ended.value.code


def test_a_run_that_was_not_to_be_told_is_not_told_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("PF_TRACKING", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    shout_flow(tmp_path / "shout")
    write_rows(tmp_path / "data.jsonl", [{"text": "a"}, {"text": "bad"}])
    store = RunStore(tmp_path / "home" / "runs")
    asked = ["run", "create", "--flow", "shout", "--data", "data.jsonl"]
    assert _pf(*asked, "--name", "a", "--no-tracking") == 3
    assert _pf(*asked, "--name", "b", "--no-traces") == 3
    first = store.load("b").tracking["mlflow_run_id"]
    for name in "ab":
        assert _pf("run", "resume", name, "--retry-failed") == 3
    assert _pf("run", "create", "--resume-from", "a", "--name", "c") == 3
    assert [bool(store.load(name).tracking) for name in "abc"] == [False, True, False]
    client = MlflowClient()
    experiment = client.get_run(first).info.experiment_id
    assert client.search_traces(locations=[experiment]) == []
    assert _pf("run", "sync", "a") == 0
    assert store.load("a").tracking
    assert len(client.search_traces(locations=[experiment])) == 2
