"""Processes of one run share what they learn of a model's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_lite.tools.board import Board
from promptflow_lite.tools.limit import Limit

pytest.importorskip("fcntl")
KEY = ("http://127.0.0.1:1/v1", ("sk-secret",), "gpt-4o")


def limit_of(folder: Path, key: tuple[object, ...] = KEY, **allowed: float) -> Limit:
    """As another process has it: a board of its own on the same file."""
    board = Board.open(str(folder))
    assert board is not None
    return Limit(board.row(key), board.lock, **allowed)


def test_a_pause_that_one_is_asked_for_holds_for_all(tmp_path: Path) -> None:
    ours, theirs = limit_of(tmp_path), limit_of(tmp_path)
    ours.take(100.0)
    ours.refused(100.0, 99.0, 30.0)
    assert theirs.take(101.0) == pytest.approx(29.0)


def test_calls_of_all_leave_at_one_rate(tmp_path: Path) -> None:
    limits = [limit_of(tmp_path, requests_per_minute=120) for _ in range(4)]
    left, now = 0, 100.0
    while now < 110.0:
        left += sum(limit.take(now) == 0.0 for limit in limits)
        now += 0.01
    assert 19 <= left <= 22


def test_models_have_rows_of_their_own(tmp_path: Path) -> None:
    limit_of(tmp_path).refused(100.0, 99.0, 30.0)
    assert limit_of(tmp_path, ("http://127.0.0.1:1/v1", ("sk-secret",), "gpt-4o-mini")).take(101.0) == 0.0


def test_the_file_holds_no_secret_and_is_the_users_alone(tmp_path: Path) -> None:
    limit_of(tmp_path).take(100.0)
    [file] = tmp_path.iterdir()
    assert b"secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
