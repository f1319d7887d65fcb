"""A run told to an MLflow server by HTTP, by a process that is killed in the middle of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from promptflow_lite.cli.main import main
from promptflow_lite.evaluation import summary
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from promptflow_lite.settings import settings
from tests.runs.flows import Connections, score_flow, shout_flow, write_rows
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore")  # of the client that reads back

LINES = 60
"""More than one group of spans."""
_PATIENCE_S = 240.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server with a database of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    files = ["--artifacts-destination", str(tmp_path / "artifacts")]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    serving = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *store, *files, *where],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"

    def is_well() -> bool:
        assert serving.poll() is None, "the server ended"
        try:
            return bool(urllib.request.urlopen(f"{uri}/health", timeout=5).status == 200)
        except OSError:
            return False

    try:
        until(is_well, "no server", seconds=_PATIENCE_S)
        yield uri
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()


def test_a_kill_in_the_middle_of_telling_a_server_leaves_nothing_twice_and_nothing_out(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"PF_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": server, "PF_TRACKING": "on"}.items():
        monkeypatch.setenv(name, text)
    settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    store = RunStore(tmp_path / "runs")
    how: dict[str, Any] = {"store": store, "connections": Connections(), "summarize": summary.of}
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"犬{number}"} for number in range(LINES)])
    base = Run(name="base", flow=str(shout_flow(tmp_path / "shout")), data=str(data))
    asyncio.run(run_batch(base, **how))
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    flow = str(score_flow(tmp_path / "score"))
    asyncio.run(run_batch(Run(name="score", flow=flow, run="base", column_mapping=mapping), **how))
    client = MlflowClient(tracking_uri=server)

    def told(*, whole: bool = True) -> list[Any]:
        found = client.get_experiment_by_name("shout")
        where = [found.experiment_id] if found is not None else []
        return client.search_traces(locations=where, max_results=500, include_spans=whole) if where else []

    telling = subprocess.Popen([sys.executable, "-m", "promptflow_lite", "run", "sync", "base"])
    try:
        until(
            lambda: len(told(whole=False)) > 3 or telling.poll() is not None,
            "nothing is told",
            seconds=_PATIENCE_S,
        )
    finally:
        telling.kill()
        telling.wait()
    assert store.load("base").tracking == {}
    with pytest.raises(SystemExit, match="0"):
        main(["run", "sync", "--all"])
    traces = told()
    assert sorted(int(trace.info.tags["promptflow_lite.line"]) for trace in traces) == list(range(LINES))
    assert {len(trace.data.spans) for trace in traces} == {2}
    assert {len(trace.info.assessments) for trace in traces} == {1}
    run = client.get_run(store.load("base").tracking["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["lines/completed"] == LINES
    assert {f.path for f in client.list_artifacts(run.info.run_id)} >= {"outputs.json", "report.html"}
    experiment = run.info.experiment_id
    assert len(client.search_runs([experiment])) == 2
