"""Lines on a Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from promptflow_lite.connections.store import Given
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.flow.load import load_flow
from promptflow_lite.integrations.ray_worker import LineWorker, Shipped
from promptflow_lite.runs import snapshot
from promptflow_lite.runs.job import FlowJob
from promptflow_lite.runs.records import decode, dumps, loads
from promptflow_lite.tools.home import Home
from tests.runs.flows import shout_flow

ENDS_S = 240.0
HAS_RAY = find_spec("ray") is not None


@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install 'promptflow_lite[ray]'")
def test_a_node_that_is_lost_costs_its_lines_in_flight_and_no_more(tmp_path: Path) -> None:
    from tests.integrations.ray_cluster import IN_FLIGHT, LINES

    done = subprocess.run(
        [sys.executable, "-m", "tests.integrations.ray_cluster", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "Completed"
    assert found["records"] == list(range(LINES))
    expected = [{"line_number": number, "shout": f"T{number}T{number}"} for number in range(LINES)]
    assert found["outputs"] == expected
    assert found["metrics"]["count"] == LINES
    assert 0 < len(found["lost"]) < IN_FLIGHT
    expected_calls = [f"t{number}" for number in range(LINES)] + found["lost"]
    assert sorted(found["calls"]) == sorted(expected_calls), "what was done on the lost node stays done"
    assert "runs again elsewhere" in found["log"]
    assert found["died"] == [2, {"worker-died": 1}]


async def test_a_flow_that_the_machine_does_not_have_is_unpacked(tmp_path: Path) -> None:
    flow = shout_flow(tmp_path / "here" / "shout")
    (tmp_path / "here" / "shared.py").write_text("LOUD = '!'\n")
    files = {name: path.read_bytes() for name, path in snapshot.files(load_flow(flow))[0].items()}
    shipped = Shipped("shout", "", {**files, "../shared.py": b"LOUD = '!'\n"}, "digest")
    job = FlowJob(flow=str(tmp_path / "elsewhere" / "shout"))
    worker = LineWorker(job.model_dump_json().encode(), {}, shipped)
    assert "pid" in await worker.open()
    try:
        record, images = await worker.run(dumps({"number": 3, "inputs": {"text": "a"}, "repeat": 1}))
    finally:
        Home(worker._bound.folder).__exit__(None, None, None)  # an actor stays there until its process ends
    result = decode(loads(record))
    assert isinstance(result, LineResult)
    assert (result.line_number, result.repeat, result.status) == (3, 1, Status.Completed)
    assert (result.outputs, images) == ({"shout": "AA"}, {})


async def test_a_flow_that_is_wrong_is_said_by_the_actor(tmp_path: Path) -> None:
    flow = shout_flow(tmp_path / "shout")
    (flow / "shout.py").write_text("import nothing_of_that_name\n")
    worker = LineWorker(FlowJob(flow=str(flow)).model_dump_json().encode(), {}, None)
    said = await worker.open()
    assert "shout.py" in str(said["diagnostics"])


@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install 'promptflow_lite[ray]'")
@pytest.mark.parametrize(
    ("address", "token", "mode"),
    [
        ("ray://head:10001", "secret", "token"),
        ("ray://head:10001", "", None),
        ("head:6379", "secret", None),
        (None, "secret", None),
    ],
)
def test_a_token_is_shown_to_ray_addresses_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, token: str, mode: str | None
) -> None:
    from promptflow_lite.integrations.ray import RayExecutor

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is put back
    monkeypatch.delenv("RAY_AUTH_MODE")
    RayExecutor(Given({}), address=address)
    assert os.environ.get("RAY_AUTH_MODE") == mode
