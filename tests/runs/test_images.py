"""Images through a whole run: in data, between nodes, in outputs, in the aggregation, and in a run on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.api.flows import test as try_flow
from promptflow_lite.connections.store import provider
from promptflow_lite.engine.results import Status
from promptflow_lite.errors import NodeError
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from promptflow_lite.settings import settings
from promptflow_lite.values import Image
from tests.runs.flows import read_rows, write_rows

PNG = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF89a"

FLOW = """\
inputs:
  picture: {type: image, default: own.png}
  more: {type: list, default: []}
outputs:
  picture: {type: image, reference: "${turn.output[0]}"}
  all: {type: list, reference: "${turn.output}"}
nodes:
- name: turn
  type: python
  source: {type: code, path: turn.py}
  inputs: {picture: "${inputs.picture}", more: "${inputs.more}", stamp: own.png}
- name: count
  type: python
  source: {type: code, path: count.py}
  aggregation: true
  inputs: {given: "${inputs.picture}", turned: "${turn.output}"}
"""
TURN = """\
from promptflow.core import tool
from promptflow.contracts.multimedia import Image

@tool
def turn(picture: Image, more: list, stamp: Image):
    assert all(isinstance(image, Image) for image in [picture, stamp, *more])
    return [Image(bytes(reversed(picture)), "image/png"), *more]
"""
COUNT = """\
from promptflow.core import log_metric, tool
from promptflow.contracts.multimedia import Image

@tool
def count(given: list, turned: list):
    images = [*given, *(image for line in turned for image in line)]
    assert all(isinstance(image, Image) for image in images)
    log_metric("bytes", sum(map(len, images)))
    return given
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "flow.dag.yaml").write_text(FLOW)
    (folder / "turn.py").write_text(TURN)
    (folder / "count.py").write_text(COUNT)
    (folder / "own.png").write_bytes(PNG)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "pics").mkdir(parents=True)
    (tmp_path / "data" / "pics" / "a.gif").write_bytes(GIF)
    path = {"data:image/gif;path": "pics/a.gif"}
    return write_rows(
        tmp_path / "data" / "rows.jsonl", [{"picture": path, "more": [path]}, {"picture": path}]
    )


async def start(store: RunStore, name: str, **asked: Any) -> Run:
    run = Run(name=name, concurrency=1, **asked)
    return await run_batch(run, store=store, connections=provider(settings()))


async def test_a_run_keeps_images_in_files_and_gives_them_to_its_aggregation(
    store: RunStore, flow: Path, data: Path
) -> None:
    ended = await start(store, "r", flow=str(flow), data=str(data))
    assert ended.status is Status.Completed, ended.error
    assert ended.metrics == {"bytes": 5 * len(GIF)}
    folder = store.folder("r")
    first, second = read_rows(folder / "outputs.jsonl")
    [(key, path)] = first["picture"].items()
    assert key == "data:image/png;path"
    assert (folder / path).read_bytes() == bytes(reversed(GIF))
    assert first["picture"] == second["picture"]
    assert (folder / first["all"][1]["data:image/gif;path"]).read_bytes() == GIF


async def test_a_run_on_top_gets_the_images_back(store: RunStore, flow: Path, data: Path) -> None:
    await start(store, "base", flow=str(flow), data=str(data))
    mapping = {"picture": "${run.outputs.picture}", "more": "${run.outputs.all}"}
    ended = await start(store, "top", flow=str(flow), run="base", column_mapping=mapping)
    assert ended.status is Status.Completed, ended.error
    [first, _] = read_rows(store.folder("top") / "outputs.jsonl")
    assert (store.folder("top") / first["picture"]["data:image/png;path"]).read_bytes() == GIF


async def test_a_resumed_run_aggregates_images_of_both_parts(store: RunStore, flow: Path, data: Path) -> None:
    lines = (flow / "turn.py").read_text()
    (flow / "turn.py").write_text(lines.replace("    assert all", "    assert not more\n    assert all"))
    await start(store, "r", flow=str(flow), data=str(data))
    (flow / "turn.py").write_text(lines)
    ended = await resume_batch(
        "r", store=store, connections=provider(settings()), retry_failed=True, force=True
    )
    assert (ended.lines.completed, ended.metrics) == (2, {"bytes": 5 * len(GIF)})


async def test_an_image_outside_the_datas_folder_fails_its_line(
    store: RunStore, flow: Path, data: Path
) -> None:
    (data.parent.parent / "secret.png").write_bytes(PNG)
    write_rows(data, [{"picture": {"data:image/png;path": "../secret.png"}}])
    ended = await start(store, "r", flow=str(flow), data=str(data))
    assert (ended.lines.failed, ended.failures) == (1, {"wrong-input": 1})


def test_one_node_takes_an_image_by_its_path(flow: Path) -> None:
    assert try_flow(flow, {"picture": "own.png", "more": "[]"}, node="turn") == [bytes(reversed(PNG))]
    own = {"data:image/png;path": "own.png"}
    assert try_flow(flow, {"turn.output": [[own]], "picture": [own]}, node="count") == [PNG]


def test_a_tool_that_needs_the_bytes_of_an_address_is_told_why_there_are_none(flow: Path) -> None:
    (flow / "turn.py").write_text(TURN.replace("    assert all", "    picture[0]\n    assert all"))
    with pytest.raises(NodeError, match="'picture' is an image known by its address"):
        try_flow(flow, {"picture": "http://127.0.0.1:9/x.png"})


def test_outputs_of_a_call_are_images(flow: Path) -> None:
    outputs = try_flow(flow)
    assert isinstance(outputs["picture"], Image)
    assert outputs["all"] == [bytes(reversed(PNG))]
