"""The folder of a batch endpoint, read while the endpoint tidies it up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.serving.batch.store import Kept


def _jobs(folder: Path, *names: str) -> None:
    for name in names:
        job = folder / "jobs" / name
        job.mkdir(parents=True)
        (job / "job.json").write_text(json.dumps({"created": 0.0, "deployment": {"name": name}}))


def test_a_job_that_is_deleted_while_they_are_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _jobs(tmp_path, "stays", "goes")
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.parent.name == "goes":
            path.unlink()  # between its listing and its reading
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    listed = Kept(tmp_path).jobs()
    asked: list[Any] = [job.asked["deployment"]["name"] for job in listed]
    assert asked == ["stays"]
