"""The power is cut at any instant of a run: what was told is there, and the run goes on to the same end."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptflow_lite.engine.events import LineEnded
from promptflow_lite.engine.results import Status
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.journal import Records
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.crashing_disk import RecordingDisk
from tests.runs.flows import Connections, shout_flow, write_rows

_LINES = 12


@dataclass(frozen=True)
class _Recorded:
    """A run that was executed once, on a disk with a memory."""

    folder: Path
    disk: RecordingDisk
    told: list[tuple[int, int]]
    """When a line was told of as done, and its number."""
    ended: int
    """When the run was told of as Completed."""
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> _Recorded:
    tmp_path = tmp_path_factory.mktemp("crash")
    flow = shout_flow(tmp_path / "flow", seconds=0.04)
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"t{number}"} for number in range(_LINES)])
    disk = RecordingDisk()
    told: list[tuple[int, int]] = []

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            told.append((disk.now, event.result.line_number or 0))

    asked = Run(name="a", flow=str(flow), data=str(data), concurrency=2)
    store = RunStore(tmp_path / "runs", disk=disk)
    run = asyncio.run(run_batch(asked, store=store, connections=Connections(), emit=listen))
    assert run.status is Status.Completed
    files = {name: (store.folder("a") / name).read_bytes() for name in ("outputs.jsonl", "metrics.json")}
    return _Recorded(store.folder("a"), disk, told, disk.now, files)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_a_power_cut_at_any_instant_loses_nothing_that_was_told(
    recorded: _Recorded, tmp_path_factory: pytest.TempPathFactory, part: float, seed: int
) -> None:
    instant = round(part * recorded.disk.now)
    root = tmp_path_factory.mktemp("after")
    left = recorded.disk.after_power_cut(instant, random.Random(seed))
    (root / "a").mkdir()
    for path, content in left.items():
        (root / "a" / path.relative_to(recorded.folder)).write_bytes(content)
    told = {number for when, number in recorded.told if when <= instant}
    store = RunStore(root)
    if "a" not in store.names():
        assert not told
        return
    kept = store.load("a")
    assert kept.status is Status.Completed or instant < recorded.ended
    records = Records.read(root / "a" / "lines.jsonl")
    done = {number for number, _ in records.entries}
    assert told <= done

    calls = recorded.folder.parent.parent / "calls"
    calls.write_text("")
    run = asyncio.run(resume_batch("a", store=store, connections=Connections()))
    assert (run.status, run.lines.completed) == (Status.Completed, _LINES)
    assert not told & {int(text.removeprefix("t")) for text in calls.read_text().split()}
    for name, content in recorded.files.items():
        assert (root / "a" / name).read_bytes() == content
