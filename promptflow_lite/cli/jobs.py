"""What does `pf job` do, and how is a job shown?"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.cli.batches import kept_endpoints, start
from promptflow_lite.cli.console import emit_json, facts, progress, say, table
from promptflow_lite.cli.showing import when
from promptflow_lite.errors import UserError
from promptflow_lite.serving.batch import shown
from promptflow_lite.serving.batch.job import Job, JobStatus
from promptflow_lite.serving.batch.predictions import SUMMARY
from promptflow_lite.serving.batch.scoring import job_store

__all__ = ["cancel", "described", "download", "get", "resume", "show", "show_all", "stream"]

_LOOK_S = 0.25
_CANCEL_S = 20.0
_PATIENCE_S = 15.0
"""How long a job that nobody executes is waited for, before it is said who would."""


def get(name: str) -> Job:
    """A job by its name."""
    return kept_endpoints().job(name)[1]


def described(job: Job) -> dict[str, Any]:
    """A job as JSON: as callers see it, and where its parts are."""
    folder = job.folder / "output"
    runs = job_store()
    run = str(runs.root / job.name) if job.name in runs.names() else None
    return {**shown.as_json(job), "run": run, "log": str(job.log), "outputs": str(folder)}


def show(job: Job) -> None:
    """Print a job."""
    about = shown.as_json(job)["properties"]
    lines = about["lines"]
    known = {
        "job": job.name,
        "status": about["status"],
        "endpoint": f"{about['endpoint']}, deployment {about['deployment']}",
        "data": about["data"],
        "rows": _rows(lines),
    }
    if about["error"]:
        known["error"] = f"{about['error']['code']}: {about['error']['message']}"
    if about["failures"]:
        known["failures"] = ", ".join(f"{code}: {count}" for code, count in about["failures"].items())
    if about["metrics"]:
        known["metrics"] = ", ".join(f"{name}={value}" for name, value in about["metrics"].items())
    if about["seconds"] is not None:
        known["time"] = f"{about['seconds']:.1f} s"
    known["created"] = when(job.asked["created"])
    if _is_orphaned(job):
        known["waits for"] = _who_would(job)
    if job.output is not None:
        known["output"] = str(job.output)
    known["log"] = str(job.log)
    facts(known)


def show_all(jobs: Sequence[Job], *, as_json: bool) -> None:
    """Print jobs, the newest first."""
    found = [shown.as_json(job) for job in sorted(jobs, key=lambda j: j.asked["created"], reverse=True)]
    if as_json:
        emit_json(found)
        return
    rows = []
    for body in found:
        about = body["properties"]
        lines = about["lines"]
        done = f"{lines['completed'] + lines['failed']}/{lines['total'] - lines['skipped']}"
        rows.append(
            (
                body["name"],
                about["status"],
                about["deployment"],
                done,
                lines["failed"] or "",
                about["created"][:19],
            )
        )
    table(("name", "status", "deployment", "rows", "failed", "created"), rows)


def stream(job: Job, *, as_json: bool) -> int:
    """Show how a job goes on until it has ended; the exit code."""
    try:
        _follow(job)
    except KeyboardInterrupt:
        say(f"no longer watching {job.name}, which goes on;  pf job cancel --name {job.name}  ends it")
        return 128 + signal.SIGINT
    if as_json:
        emit_json(described(job))
    else:
        show(job)
    ended = job.ended or {}
    if ended.get("status") != JobStatus.Completed:
        return 1
    return 3 if ended["lines"]["failed"] else 0


def _follow(job: Job) -> None:
    status, bar = None, None
    orphaned = time.monotonic()
    try:
        while True:
            now = job.status
            if now is not status and bar is None:
                say(f"{job.name}: {now}")
            status = now
            lines = job.progress
            if lines is not None and lines["total"] and bar is None and now is JobStatus.Running:
                bar = progress("rows", lines["total"] - lines["skipped"])
                bar.__enter__()
            if bar is not None and lines is not None:
                done = lines["completed"] + lines["failed"]
                bar.advance(done - bar.done, failed=lines["failed"] - bar.failed)
            if now.is_final:
                return
            if now is not JobStatus.Queued:
                orphaned = time.monotonic()
            elif time.monotonic() - orphaned > _PATIENCE_S:
                say(f"it waits for  {_who_would(job)}")
                orphaned = float("inf")
            time.sleep(_LOOK_S)
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


def _is_orphaned(job: Job) -> bool:
    """Whether nobody executes a job, nor will: its process died, or its endpoint is served no more."""
    is_fresh = job.asked["created"] > time.time() - _PATIENCE_S
    return not is_fresh and job.status is JobStatus.Queued and _served(job) is None


def _served(job: Job) -> dict[str, Any] | None:
    return kept_endpoints().job(job.name)[0].served()


def _who_would(job: Job) -> str:
    return f"pf batch-endpoint serve {job.asked['endpoint']}  or  pf job resume --name {job.name}"


def resume(job: Job) -> None:
    """Go on with a job that nobody executes, in a process of its own.

    Raises:
        UserError: it has ended already (code `job-over`), or is being executed (`run-busy`).
    """
    if job.ended is not None:
        raise UserError(f"job {job.name} has ended: it is {job.status}", code="job-over")
    if (pid := job.pid) is not None:
        raise UserError(f"the process {pid} executes {job.name}", code="run-busy")
    if _served(job) is not None:
        say(f"job {job.name} waits for its turn: {job.asked['endpoint']} is served")
        return
    start(job)
    say(f"job {job.name}: goes on;  pf job stream --name {job.name}  follows it")


def cancel(job: Job) -> None:
    """Ask for the end of a job, and wait for it.

    Raises:
        UserError: it has ended already (code `job-over`), or does not end (`run-busy`).
    """
    if job.ended is not None:
        raise UserError(f"job {job.name} has ended: it is {job.status}", code="job-over")
    job.cancel()
    until = time.monotonic() + _CANCEL_S
    while job.pid is not None and job.ended is None:
        if time.monotonic() > until:
            raise UserError(f"the process {job.pid} still executes {job.name}", code="run-busy")
        time.sleep(_LOOK_S)
    if job.ended is None and _served(job) is None:
        job.end(JobStatus.Canceled)
    while job.ended is None and time.monotonic() < until:
        time.sleep(_LOOK_S)


def download(job: Job, folder: Path) -> list[Path]:
    """Copy a job's files to `folder/NAME`.

    Raises:
        UserError: there are none yet (code `no-output`).
    """
    output = job.output
    if output is None:
        raise UserError(f"job {job.name} is {job.status}; there is no output yet", code="no-output")
    home = folder / job.name
    home.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys([output.name, SUMMARY])
    return [Path(shutil.copyfile(output.parent / name, home / name)) for name in names]


def _rows(lines: dict[str, int]) -> str:
    parts = [f"{lines[key]} {key}" for key in ("completed", "failed", "skipped") if lines[key]]
    return f"{lines['total']}: {', '.join(parts) or 'none done'}"
