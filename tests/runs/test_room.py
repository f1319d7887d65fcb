"""How many lines are in flight: as many as were asked for, unless the event loop is busy with fewer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptflow_lite.runs import room
from promptflow_lite.runs.batch import run_batch
from promptflow_lite.runs.room import Room
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from tests.runs.flows import Connections, read_rows, write_rows

_FLOW = """\
inputs:
  text: {type: string}
outputs:
  peak: {type: int, reference: "${say.output}"}
nodes:
- name: say
  type: python
  source: {type: code, path: say.py}
  inputs: {text: "${inputs.text}"}
"""
_COUNT = """\
import asyncio
import time

from promptflow_lite import tool

in_flight, peak = 0, 0
all_there = asyncio.Event()


@tool
async def say(text: str) -> int:
    global in_flight, peak
    in_flight += 1
    peak = max(peak, in_flight)
    if peak == 100:
        all_there.set()
    %s
    in_flight -= 1
    return peak
"""


async def _peak(tmp_path: Path, doing: str, lines: int) -> int:
    """The most lines that were in flight at once, of 100 that were asked for."""
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "flow.dag.yaml").write_text(_FLOW)
    (flow / "say.py").write_text(_COUNT % doing)
    data = write_rows(tmp_path / "data.jsonl", [{"text": str(number)} for number in range(lines)])
    store = RunStore(tmp_path / "runs")
    run = Run(name="a", flow=str(flow), data=str(data), concurrency=100)
    run = await run_batch(run, store=store, connections=Connections())
    assert run.lines.completed == lines
    peaks: list[int] = [row["peak"] for row in read_rows(store.folder("a") / "outputs.jsonl")]
    return max(peaks)


async def test_all_that_were_asked_for_are_in_flight_where_lines_wait(tmp_path: Path) -> None:
    """Each line waits until all are there, so the run would not end with fewer."""
    assert await _peak(tmp_path, "await asyncio.wait_for(all_there.wait(), 60)", 200) == 100


async def test_no_more_begin_while_lines_keep_the_loop_from_being_on_time(tmp_path: Path) -> None:
    assert await _peak(tmp_path, "time.sleep(0.02); await asyncio.sleep(0)", 100) < 100


async def test_a_long_run_whose_core_was_busy_names_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_LONG_S", 0.1)
    await _peak(tmp_path, "time.sleep(0.001); await asyncio.sleep(0)", 3000)
    said = (tmp_path / "runs" / "a" / "log.txt").read_text()
    busy = "one core was busy with 16 lines at once, of 100 that may be in flight: '--workers "
    assert (busy in said) == ((os.cpu_count() or 1) > 1)


async def test_a_run_that_waits_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LONG_S", 0.0)
    await _peak(tmp_path, "await asyncio.wait_for(all_there.wait(), 60)", 200)
    assert "one core was busy" not in (tmp_path / "runs" / "a" / "log.txt").read_text()


class _Looks:
    """A room that is looked at when it asks for it, each time so late and so busy."""

    def __init__(self, most: int) -> None:
        self.now = self.cpu = 0.0
        self.room = Room(most, self.now, self.cpu)

    def opened(self, seconds: float, *, late_s: float, busy: float) -> int:
        """How many desks were opened in so many seconds."""
        before, end = self.room.desks, self.now + seconds
        while self.now < end and (pause_s := self.room.look_in_s) is not None:
            due = self.now + pause_s
            self.now = due + late_s
            self.cpu += busy * (pause_s + late_s)
            self.room.more(due, self.now, self.cpu)
        return self.room.desks - before


def test_all_desks_are_there_soon_where_lines_wait() -> None:
    looks = _Looks(256)
    assert looks.opened(0.25, late_s=0.0005, busy=0.01) == 240
    assert looks.room.look_in_s is None


def test_few_are_all_there_at_once() -> None:
    room = Room(3, 0.0, 0.0)
    assert (room.desks, room.look_in_s) == (3, None)


def test_as_many_are_opened_as_one_core_can_serve() -> None:
    looks = _Looks(256)
    opened = looks.opened(0.05, late_s=0.001, busy=0.5)
    assert 12 <= opened <= 16, "16 keep half of a core busy, so 32 keep all of it busy"
    assert looks.opened(10, late_s=0.001, busy=0.99) == 0
    assert looks.opened(10, late_s=0.001, busy=0.2) == 256 - 16 - opened


def test_a_loop_that_is_always_late_opens_none_however_little_of_a_core_it_gets() -> None:
    assert _Looks(64).opened(60, late_s=0.02, busy=0.3) == 0


def test_a_busy_loop_is_looked_at_less_often() -> None:
    looks = _Looks(64)
    first = looks.room.look_in_s or 0
    looks.opened(5, late_s=0.02, busy=0.95)
    assert first < (looks.room.look_in_s or 0) <= 0.1
