"""What was kept? The requests under a folder, and what was said of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from promptflow_lite.errors import UserError
from promptflow_lite.serving.traffic.seen import MIRRORED

__all__ = ["FEEDBACK", "Opinion", "Read", "opinions", "records"]

FEEDBACK = "feedback.jsonl"
"""The file of feedback beside the requests."""


@dataclass
class Read:
    """How the reading went."""

    files: int = 0
    broken: int = 0
    """Lines that are no record: cut short by a power loss, or not ours."""
    mirrored: int = 0
    """Copies of requests that another deployment answered; left out."""


@dataclass
class Opinion:
    """What people said of one answer; the last word counts."""

    score: float | bool | None = None
    comments: list[str] = field(default_factory=list)


def records(folder: Path, went: Read, *, deployment: str | None = None) -> Iterator[dict[str, Any]]:
    """The requests under a folder, those of a file in their order; each has its `time` as a number, in `at`.

    Args:
        folder: where a collector keeps them.
        went: is told of files and broken lines.
        deployment: only its requests, also those that were mirrored to it; without it those are left out, for
            their callers were answered by another.

    Raises:
        UserError: there is no such folder (code `no-traffic`).
    """
    if not folder.is_dir():
        hint = "--collect DIR of pf flow serve, or data_collector of a deployment, keeps requests"
        raise UserError(f"no requests are kept in {folder}", code="no-traffic", hint=hint)
    for file in sorted(folder.rglob("*.jsonl")):
        if file.name == FEEDBACK:
            continue
        went.files += 1
        with file.open("rb") as lines:
            for line in lines:
                record = _record(line)
                if record is None:
                    went.broken += 1
                elif deployment is None and record.get("path") == MIRRORED:
                    went.mirrored += 1
                elif deployment is None or record["deployment"] == deployment:
                    yield record


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        at = datetime.fromisoformat(record["time"]).timestamp()
        return {**record, "at": at, "deployment": str(record["deployment"])}
    except (ValueError, TypeError, KeyError):
        return None


def opinions(file: Path, went: Read) -> dict[str, Opinion]:
    """What was said, by the request's id; nothing where there is no such file.

    Args:
        file: of feedback.
        went: is told of broken lines.
    """
    found: dict[str, Opinion] = {}
    if not file.is_file():
        return found
    with file.open("rb") as lines:
        for line in lines:
            try:
                said = json.loads(line)
                name, score, comment = said["request_id"], said["score"], said["comment"]
            except (ValueError, TypeError, KeyError):
                went.broken += 1
                continue
            if not isinstance(name, str):
                continue
            opinion = found.setdefault(name, Opinion())
            opinion.score = opinion.score if score is None else score
            opinion.comments += [comment] if comment else []
    return found
