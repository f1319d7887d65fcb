"""The journal: what is safe stays, what was cut is dropped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptflow_lite.engine.results import Failure, LineResult, NodeRun, Status
from promptflow_lite.runs.journal import Journal, Records
from promptflow_lite.runs.records import decode, encode, loads
from promptflow_lite.tools.scope import Usage


def _result(number: int, output: Any = "x", status: Status = Status.Completed) -> LineResult:
    node = NodeRun(
        "n", Status.Completed, {"q": 1}, output, started=1.0, seconds=0.5, usage=Usage(1, 2, 1), model="m"
    )
    error = (
        None if status is Status.Completed else Failure("broken", "it broke", "n", details={"status": 500})
    )
    return LineResult(
        number, status, {"q": 1}, {"o": output}, {"n": node}, error, 1.0, 0.5, Usage(1, 2, 1), "hi\n"
    )


async def _write(path: Path, *results: LineResult) -> list[int | None]:
    safe: list[int | None] = []
    journal = Journal(path, on_safe=lambda result: safe.append(result.line_number))
    for result in results:
        await journal.add(result)
    await journal.drain()
    journal.close()
    return safe


async def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    results = [_result(2), _result(0, status=Status.Failed), _result(1, {"deep": ["京都", None, 1.5]})]
    assert await _write(path, *results) == [2, 0, 1]
    records = Records.read(path)
    assert [decode(r) for r in records.each()] == sorted(results, key=lambda r: r.line_number or 0)
    assert records.keys(Status.Failed) == [(0, 0)]
    assert (records.torn, records.broken) == (0, [])


def test_a_record_of_a_newer_version_is_read_without_what_it_has_more() -> None:
    record = loads(encode(_result(1, status=Status.Failed)))
    known = decode(record)
    for part in (record, record["usage"], record["error"], record["node_runs"]["n"]):
        part["added_later"] = 1
    record["node_runs"]["n"]["usage"]["added_later"] = 1
    assert decode(record) == known


async def test_the_last_record_of_a_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    await _write(path, _result(0, status=Status.Failed))
    await _write(path, _result(0, "again"))
    records = Records.read(path)
    assert [r["outputs"] for r in records.each()] == [{"o": "again"}]
    assert records.keys(Status.Failed) == []


async def test_nothing_is_told_before_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    synced: list[bytes] = []
    fsync = os.fsync

    def recording(handle: int) -> None:
        fsync(handle)
        synced.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", recording)
    told: list[bool] = []
    journal = Journal(
        path, on_safe=lambda r: told.append(f'"line_number":{r.line_number},'.encode() in synced[-1])
    )
    for number in range(100):
        await journal.add(_result(number))
        if number % 7 == 0:
            await asyncio.sleep(0.001)
    await journal.drain()
    journal.close()
    assert told == [True] * 100
    assert len(synced) < 60  # in groups


async def test_closing_early_keeps_what_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    safe: list[int | None] = []
    journal = Journal(path, on_safe=lambda result: safe.append(result.line_number))
    for number in range(45):
        await journal.add(_result(number))
    journal.close()
    journal.close()
    assert sorted(n for n in safe if n is not None) == list(range(45))
    assert sorted(n for n, _ in Records.read(path).entries) == list(range(45))


async def test_a_full_disk_is_an_error_and_leaves_the_journal_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    await _write(path, _result(0), _result(1))
    write = os.write

    def full(handle: int, content: Any) -> int:
        write(handle, bytes(content)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal = Journal(path, on_safe=lambda result: None)
    with pytest.raises(OSError, match="No space"):
        await journal.add(_result(2))
    with pytest.raises(OSError, match="No space"):
        await journal.add(_result(3))
    journal.close()
    monkeypatch.undo()
    assert sorted(n for n, _ in Records.read(path).entries) == [0, 1]
    assert await _write(path, _result(2)) == [2]
    assert sorted(n for n, _ in Records.read(path).entries) == [0, 1, 2]


async def test_a_failed_fsync_is_an_error_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    safe: list[LineResult] = []
    journal = Journal(tmp_path / "lines.jsonl", on_safe=safe.append)

    def failing(handle: int) -> None:
        tried.append(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    await journal.add(_result(0))
    with pytest.raises(OSError, match="Input/output"):
        await journal.drain()
    with pytest.raises(OSError, match="Input/output"):
        await journal.add(_result(1))
    journal.close()
    assert (len(tried), safe) == (1, [])


async def test_what_was_added_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    journal = Journal(path, on_safe=lambda result: None)
    await journal.add(_result(0))
    assert sorted(n for n, _ in Records.read(path).entries) == [0]  # a kill would lose nothing now
    journal.close()


async def test_records_are_redacted_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    journal = Journal(path, on_safe=lambda r: None, redact=lambda text: text.replace(b"sk-secret", b"***"))
    await journal.add(_result(0, "the key is sk-secret"))
    await journal.drain()
    journal.close()
    assert b"sk-secret" not in path.read_bytes()
    assert next(Records.read(path).each())["outputs"] == {"o": "the key is ***"}


@settings(max_examples=60, deadline=None)
@given(
    cut=st.integers(min_value=0), tail=st.sampled_from([b"", b"\x00\x00\x00", b'{"line_number": 9', b"\n"])
)
def test_a_journal_cut_at_any_byte_goes_on_with_the_whole_records_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("run") / "lines.jsonl"
    records = [encode(_result(number)) for number in range(4)]
    content = b"".join(records)
    cut %= len(content) + 1
    path.write_bytes(content[:cut] + tail)
    whole = sum(len(b"".join(records[: n + 1])) <= cut for n in range(4))
    # A cut record to which just its newline is added back is whole again.
    if tail == b"\n" and any(cut + 1 == len(b"".join(records[: n + 1])) for n in range(4)):
        whole += 1
    assert asyncio.run(_write(path, _result(9))) == [9]
    assert sorted(n for n, _ in Records.read(path).entries) == [*range(whole), 9]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), None),
        ({1: "a"}, {"1": "a"}),
        ("\ud800x", "?x"),
        (2**70, 2**70),
        ((1, 2), [1, 2]),
        (object, repr(object)),
        ({"s": {3}}, {"s": [3]}),
    ],
)
def test_what_json_cannot_hold_is_kept_as_near_as_it_can_be(value: object, kept: object) -> None:
    assert loads(encode(_result(0, value)))["outputs"]["o"] == kept


class _NoRepr:
    def __repr__(self) -> str:
        raise ValueError("none of your business")


def test_no_value_is_so_strange_that_its_record_cannot_be_written() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep, _NoRepr(), {"nested": [_NoRepr()]}):
        record = loads(encode(_result(0, value)))
        assert record["line_number"] == 0


async def test_a_record_that_is_damaged_among_good_ones_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    await _write(path, *(_result(number) for number in range(4)))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"\x00" * 40 + lines[1][40:]
    lines[3] = lines[3][:-9]
    path.write_bytes(b"".join(lines))
    records = Records.read(path)
    assert [number for number, _ in records.keys()] == [0, 2]  # noqa: SIM118  no mapping
    assert (records.broken, records.torn) == ([2], 1)
    assert await _write(path, _result(1), _result(3)) == [1, 3]
    assert [number for number, _ in Records.read(path).keys()] == [0, 1, 2, 3]  # noqa: SIM118
