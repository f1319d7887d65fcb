"""What the shell is offered when a run or a connection is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from promptflow_lite.cli.names import connection_names, run_names


def test_nothing_is_offered_at_a_new_home() -> None:
    assert (run_names(""), connection_names("")) == ([], [])


def test_runs_are_offered_newest_first(home: Path) -> None:
    for age, name in enumerate(["support_2", "support_1", "intent_1"]):
        folder = home / "runs" / name
        folder.mkdir(parents=True)
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    (home / "runs" / ".lock").touch()
    assert run_names("support") == ["support_2", "support_1"]


def test_connections_are_offered_by_file(home: Path) -> None:
    (home / "connections").mkdir()
    for name in ("mine.yaml", "azure.yaml", "mail.txt"):
        (home / "connections" / name).touch()
    assert connection_names("") == ["azure", "mine"]
    assert connection_names("m") == ["mine"]
