"""What is a job? A folder: what was asked for, how far it is, how it ended. Its lines are a run's.

Whoever executes it holds the folder's lock, so that nothing has to be undone when a process dies: a job that
has not ended and that nobody executes is one to start.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.lock import holder
from promptflow_lite.runs.records import pretty
from promptflow_lite.runs.store import check_name
from promptflow_lite.serving.batch.spec import BatchDeploymentSpec

__all__ = ["Job", "JobStatus", "create", "new_name"]


class JobStatus(StrEnum):
    """Azure ML's words."""

    Queued = "Queued"
    Preparing = "Preparing"
    Running = "Running"
    CancelRequested = "CancelRequested"
    Completed = "Completed"
    Failed = "Failed"
    Canceled = "Canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in (JobStatus.Completed, JobStatus.Failed, JobStatus.Canceled)


class Job:
    """One job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What was asked for; never changed."""
        found: dict[str, Any] = json.loads((self.folder / "job.json").read_bytes())
        return found

    @property
    def deployment(self) -> BatchDeploymentSpec:
        """The deployment as it was when the job was made."""
        return BatchDeploymentSpec.of_json(self.asked["deployment"])

    @property
    def log(self) -> Path:
        """What its process said."""
        return self.folder / "log.txt"

    @property
    def output(self) -> Path | None:
        """The file of its predictions, or of the summary; `None` until it has ended."""
        ended = self.ended
        name = None if ended is None else ended.get("output")
        return None if name is None else self.folder / "output" / name

    @property
    def ended(self) -> dict[str, Any] | None:
        """How it ended; `None` if it has not."""
        return _read(self.folder / "ended.json")

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far it is."""
        return _read(self.folder / "progress.json")

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for its end."""
        return (self.folder / "cancel").exists()

    @property
    def pid(self) -> int | None:
        """The process that executes it."""
        return holder(self.folder)

    @property
    def status(self) -> JobStatus:
        """How it is."""
        is_held = self.pid is not None  # asked first: it ends its lock after it has written how it ended
        ended = self.ended
        if ended is not None:
            return JobStatus(ended["status"])
        if self.is_cancelled:
            return JobStatus.CancelRequested
        if not is_held:
            return JobStatus.Queued
        return JobStatus.Running if self.progress is not None else JobStatus.Preparing

    def cancel(self) -> None:
        """Ask for its end; nothing, where it has ended."""
        if self.ended is not None:
            return
        (self.folder / "cancel").touch(mode=0o600)
        pid = self.pid
        if pid:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    def end(self, status: JobStatus, **facts: Any) -> None:
        """Keep how it ended."""
        body = {"status": status, "ended": time.time(), **facts}
        DISK.write_file(self.folder / "ended.json", [pretty(body)])

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Keep how far it is, for whoever asks; a power cut may lose it."""
        fresh = self.folder / "progress.new"
        with suppress(OSError):  # a full disk is the journal's to complain about
            fresh.write_text(json.dumps(progress), encoding="ascii")
            fresh.replace(self.folder / "progress.json")

    def delete(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_name() -> str:
    """A name that nobody guesses."""
    return f"batchjob-{secrets.token_hex(12)}"


def create(
    jobs: Path,
    name: str,
    *,
    endpoint: str,
    deployment: BatchDeploymentSpec,
    data: Path,
    shown: str,
    literals: Mapping[str, Any],
    about: Mapping[str, Any],
    folders: Sequence[str] = (),
) -> Job:
    """A new job, to be started by whoever sees it.

    Args:
        jobs: the folder of an endpoint's jobs.
        name: the job's, and its run's.
        endpoint: the endpoint's name.
        deployment: what shall run.
        data: the file or folder; absolute.
        shown: what its sender calls it.
        literals: inputs that are the same for all rows.
        about: `display_name`, `description`, `tags`, for people.
        folders: those that a stranger's path must lie in; none for the owner's.

    Raises:
        InputError: the name is none, or taken (code `job-exists`).
    """
    folder = jobs / check_name(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "job.json").exists():
        raise InputError(f"a job named {name!r} exists", code="job-exists")
    body = {
        "name": name,
        "endpoint": endpoint,
        "deployment": asdict(deployment),
        "data": str(data),
        "shown": shown,
        "literals": dict(literals),
        "about": dict(about),
        "folders": list(folders),
        "created": time.time(),
    }
    DISK.write_file(folder / "job.json", [pretty(body)])
    return Job(folder)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found
