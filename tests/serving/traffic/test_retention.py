"""How long requests are kept: by days and by size, the oldest go first, and nobody else's files ever."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.serving.traffic.retention import Retention, Segment, overdue, sweep
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.serving.endpoints.desk import run
from tests.serving.served import Served
from tests.serving.traffic.test_collecting import kept
from tests.waiting import until

DAY_S = 86_400
MB = 1024 * 1024
NOW = 2_000_000_000.0


def put(folder: Path, days: float, *, size: int = 10, name: str = "") -> Path:
    """A file as a collector leaves it, last written to so many days ago."""
    then = datetime.now(UTC) - timedelta(days=days)
    file = folder / then.strftime("%Y-%m-%d") / (name or f"{then:%H}-17-{int(days * 16):08x}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    os.utime(file, (then.timestamp(), then.timestamp()))
    return file


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 4 * MB)), max_size=20),
    st.integers(0, 60),
    st.integers(0, 20),
)
def test_what_stays_is_within_both_limits_and_newer_than_all_that_goes(
    files: list[tuple[int, int]], days: int, megabytes: int
) -> None:
    segments = [Segment(Path(f"{at}"), NOW - age * DAY_S, size) for at, (age, size) in enumerate(files)]
    gone = overdue(segments, Retention(days=days, megabytes=megabytes), NOW)
    left = [segment for segment in segments if segment not in gone]
    assert not megabytes or sum(segment.size for segment in left) <= megabytes * MB
    assert not days or all(segment.written >= NOW - days * DAY_S for segment in left)
    if left and gone:
        assert min(segment.written for segment in left) >= max(segment.written for segment in gone)
    if not days and not megabytes:
        assert not gone


def test_only_files_of_a_collector_go_and_their_folder_with_the_last_of_them(tmp_path: Path) -> None:
    old, new = put(tmp_path, 31), put(tmp_path, 29)
    others = [put(tmp_path, 40, name="feedback.jsonl"), put(tmp_path, 40, name="mine.jsonl")]
    (tmp_path / "notes").mkdir()
    mine = tmp_path / "notes" / "10-17-00000000.jsonl"
    mine.write_text("{}")
    os.utime(mine, (0, 0))
    assert [segment.path for segment in sweep(tmp_path, Retention(), time.time())] == [old]
    assert not old.parent.exists()
    assert all(file.exists() for file in [new, mine, *others])


def test_a_served_flow_lets_old_requests_go_as_it_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)
    folder = tmp_path / "kept" / "echo"
    old, newer = put(folder, 8), put(folder, 6)
    with Served(source, collect=str(tmp_path / "kept"), keep_days=7) as server:
        server.score({"text": "hi"})
        until(lambda: not old.exists())
        newer.unlink()
        (current,) = folder.rglob("*.jsonl")
        current.unlink()  # by hand, or by another worker that made room
        server.score({"text": "again"})
        until(lambda: bool(kept(folder)))
    assert [record["inputs"]["text"] for record in kept(folder)] == ["again"]


def test_requests_beyond_the_megabytes_go_the_oldest_first(tmp_path: Path) -> None:
    source = write(tmp_path / "echo", dag=ECHO, echo__py=ECHO_TOOL)
    folder = tmp_path / "kept" / "echo"
    files = [put(folder, days, size=MB // 2) for days in (3, 2, 1)]
    with Served(source, collect=str(tmp_path / "kept"), keep_mb=1, keep_days=0) as server:
        server.score({"text": "hi"})
        until(lambda: not files[1].exists())
    assert [file.exists() for file in files] == [False, False, True]


@pytest.mark.parametrize(("body", "said"), [("keep_days: -1", "days from 0"), ("keep_mb: 1.5", "megabytes")])
def test_a_wrong_limit_is_said_with_its_place(tmp_path: Path, body: str, said: str) -> None:
    run("endpoint", "create", "--name", "my-endpoint")
    file = tmp_path / "blue.yml"
    file.write_text(f"name: blue\nendpoint_name: my-endpoint\nflow: .\ndata_collector:\n  {body}\n")
    error = run("deployment", "create", "--file", str(file), code=2)
    assert "blue.yml:5" in error
    assert said in error
