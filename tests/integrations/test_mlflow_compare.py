"""MLflow's own comparison of evaluations reads the runs that it was told of."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest

from promptflow_lite.evaluation import summary
from promptflow_lite.integrations.mlflow import MlflowTracker
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, score_flow, shout_flow, write_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of MLflow's client
    pytest.mark.skipif(
        not hasattr(mlflow.genai, "compare_evaluations"),
        reason=f"compare_evaluations came with MLflow 3.18; this is {version('mlflow')}",
    ),
]


def test_two_evaluations_over_the_same_data_pair_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    store = RunStore(tmp_path / "runs")
    how: dict[str, Any] = {"store": store, "connections": Connections(), "trackers": [MlflowTracker()]}
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"t{i}"} for i in range(8)])
    flow, scorer = shout_flow(tmp_path / "shout"), score_flow(tmp_path / "score")
    mapping = {"answer": "${run.outputs.shout}", "truth": "${data.text}"}
    ids: list[str] = []
    for name in ("a", "b"):
        if name == "b":
            code = flow / "shout.py"
            code.write_text(code.read_text().replace("return text.upper()", "return text"))
        asyncio.run(run_batch(Run(name=name, flow=str(flow), data=str(data)), **how))
        score = Run(name=f"score-{name}", flow=str(scorer), run=name, column_mapping=mapping)
        told = asyncio.run(run_batch(score, **how, summarize=summary.of))
        ids.append(told.tracking["mlflow_run_id"])
    compare: Any = mlflow.genai.compare_evaluations  # type: ignore[attr-defined]  # of 3.18
    result = compare(candidate_run_id=ids[1], baseline_run_id=ids[0])
    assert {row["paired_on"] for row in result.paired_rows} == {"eval_request_id"}
    found = result.scorers["score/right"]
    assert (found.n_paired, found.diff) == (8, -1.0)
