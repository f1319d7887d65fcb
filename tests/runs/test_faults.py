"""A disk that is full or broken: the run ends with an error, keeps what was safe, and goes on later."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptflow_lite.engine.events import LineEnded
from promptflow_lite.engine.results import Status
from promptflow_lite.runs.batch import resume_batch, run_batch
from promptflow_lite.runs.disk import Disk
from promptflow_lite.runs.events import RunEvent
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, shout_flow, write_rows

_LINES = 10


class _FullDisk(Disk):
    """A disk with room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, handle: int, content: bytes) -> None:
        fits, self.room = content[: self.room], max(0, self.room - len(content))
        super().write(handle, fits)
        if len(fits) < len(content):
            raise OSError(errno.ENOSPC, "No space left on device")


class _BrokenDisk(Disk):
    """A disk of which every fsync after the first few fails."""

    def __init__(self, good: int) -> None:
        self.good = good

    def sync(self, handle: int) -> None:
        self.good -= 1
        if self.good < 0:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(handle)


def _run(tmp_path: Path) -> Run:
    flow = shout_flow(tmp_path / "flow", seconds=0.01)
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"t{number}"} for number in range(_LINES)])
    return Run(name="a", flow=str(flow), data=str(data), concurrency=2)


def _execute(run: Run, root: Path, disk: Disk) -> set[str]:
    """The lines that were told of as done before the disk failed."""
    told: set[str] = set()

    def listen(event: RunEvent) -> None:
        if isinstance(event, LineEnded):
            told.add(f"t{event.result.line_number}")

    with pytest.raises(OSError, match=r"No space|Input/output"):
        asyncio.run(run_batch(run, store=RunStore(root, disk=disk), connections=Connections(), emit=listen))
    return told


def _go_on(run: Run, root: Path, told: set[str], calls: Path) -> None:
    """With a disk that is well, the run ends as if nothing had been, and nothing told is done again."""
    store = RunStore(root)
    calls.write_text("")
    if "a" not in store.names():
        assert not told
        return
    assert store.load("a").status in (Status.Failed, Status.NotStarted)
    done = asyncio.run(resume_batch("a", store=store, connections=Connections()))
    assert (done.status, done.lines.completed) == (Status.Completed, _LINES)
    assert not told & set(calls.read_text().split())
    assert [row["line_number"] for row in read_rows(root / "a" / "outputs.jsonl")] == list(range(_LINES))
    assert list((root / "a").glob("*.new")) == []


@pytest.mark.parametrize("room", [0, 700, 1500, 3000, 4000, 5000, 6000, 7000, 8000])
def test_a_disk_that_is_full_at_any_write_ends_the_run_and_keeps_what_was_safe(
    tmp_path: Path, room: int
) -> None:
    run = _run(tmp_path)
    told = _execute(run, tmp_path / "runs", _FullDisk(room))
    _go_on(run, tmp_path / "runs", told, tmp_path / "calls")


@pytest.mark.parametrize("good", [0, 1, 2, 3, 4])
def test_an_fsync_that_fails_ends_the_run_and_keeps_what_was_safe(tmp_path: Path, good: int) -> None:
    run = _run(tmp_path)
    told = _execute(run, tmp_path / "runs", _BrokenDisk(good))
    _go_on(run, tmp_path / "runs", told, tmp_path / "calls")


def test_a_file_that_may_not_grow_is_an_error_of_the_command_and_the_run_goes_on_later(
    tmp_path: Path, home: Path
) -> None:
    run = _run(tmp_path)
    arguments = ["run", "create", "--flow", run.flow, "--data", str(run.data), "--name", "a", "--no-tracking"]
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "from promptflow_lite.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "the run cannot be kept" in ended.stderr
    assert "pf run resume a" in ended.stderr
    assert "Traceback" not in ended.stderr
    done = asyncio.run(resume_batch("a", store=RunStore(home / "runs"), connections=Connections()))
    assert done.lines.completed == _LINES


def test_a_wall_clock_that_jumps_changes_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run(tmp_path)
    hours = iter(range(10**6))
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() - 3600 * next(hours))
    done = asyncio.run(run_batch(run, store=RunStore(tmp_path / "runs"), connections=Connections()))
    assert (done.status, done.lines.completed) == (Status.Completed, _LINES)
    assert 0 < done.seconds < 60
    rows = read_rows(tmp_path / "runs" / "a" / "lines.jsonl")
    assert all(0 < row["seconds"] < 60 for row in rows)
