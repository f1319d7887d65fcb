"""What do `pf batch-endpoint` and `pf batch-deployment` do?"""

from __future__ import annotations

import json
import socket
import subprocess  # our own interpreter with our own module
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from promptflow_lite.cli.console import say, say_safely
from promptflow_lite.cli.endpoint_serve import Where, announced
from promptflow_lite.errors import UserError
from promptflow_lite.serving.asked import Asked
from promptflow_lite.serving.batch import changes, files
from promptflow_lite.serving.batch.front import serve as serve_batch
from promptflow_lite.serving.batch.job import Job
from promptflow_lite.serving.batch.spec import BatchDeploymentSpec
from promptflow_lite.serving.batch.store import BatchEndpoints, Kept
from promptflow_lite.serving.way import Way
from promptflow_lite.settings import settings

__all__ = [
    "create",
    "delete",
    "deploy",
    "get",
    "invoke",
    "kept_endpoints",
    "serve",
    "start",
    "undeploy",
    "update",
]

_ALONE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from promptflow_lite.serving.batch.scoring import alone; alone()"
)


def kept_endpoints() -> BatchEndpoints:
    """The batch endpoints of this home."""
    return BatchEndpoints(settings().home)


def get(name: str) -> Kept:
    """One of them."""
    return kept_endpoints().get(name)


def create(file: Path | None, typed: Mapping[str, str]) -> tuple[Kept, list[str]]:
    """Make a batch endpoint; it and its keys."""
    asked = _asked(file, typed)
    if "name" not in asked.body:
        raise UserError("which name shall the endpoint have? Say --name NAME", code="missing-option")
    if "defaults" in asked.body:
        say("defaults: in effect once that deployment is there: pf batch-deployment create --set-default")
    return changes.create(kept_endpoints(), asked)


def update(file: Path | None, typed: Mapping[str, str]) -> Kept:
    """Change a batch endpoint."""
    asked = _asked(file, typed)
    if "name" not in asked.body:
        raise UserError("which endpoint? Say --name NAME, or write it into the file", code="missing-option")
    kept = get(asked.body["name"])
    before = kept.read()
    changed = changes.configure(kept, asked)
    if changed.auth_mode != before.auth_mode and kept.served() is not None:
        say("auth_mode: in effect when the endpoint is served the next time")
    return kept


def delete(name: str) -> None:
    """Delete a batch endpoint, unless a job of it runs."""
    kept = get(name)
    running = [job.name for job in kept.jobs() if job.pid is not None]
    if running:
        raise UserError(
            f"job {running[0]} of {name!r} runs",
            code="endpoint-busy",
            hint=f"pf job cancel --name {running[0]}",
        )
    kept_endpoints().delete(name)


def deploy(kept: Kept, asked: Asked, name: str, *, is_default: bool) -> None:
    """Deploy a flow."""
    changes.deploy(kept, asked, name)
    if is_default:
        changes.set_default(kept, name)
    changes.sweep(kept)


def undeploy(kept: Kept, name: str) -> None:
    """Delete a deployment."""
    changes.undeploy(kept, name)
    changes.sweep(kept)


def invoke(
    kept: Kept,
    data: Path,
    *,
    is_folder: bool | None,
    literals: Mapping[str, str],
    to: str | None,
    name: str | None,
    changes: Mapping[str, str],
) -> Job:
    """Ask for a job, and start it where nobody serves the endpoint."""
    from promptflow_lite.serving.batch.changes import ask, chosen

    path = data.expanduser().absolute()
    if not path.exists():
        raise UserError(f"{data}: there is no such file or folder", code="data-not-found")
    if is_folder is not None and is_folder != path.is_dir():
        raise UserError(f"{data}: expected a {'folder' if is_folder else 'file'}", code="data-not-found")
    deployment = _with_settings(chosen(kept.read(), to), changes)
    if name is not None and any(name in other.job_names() for other in kept_endpoints().all()):
        raise UserError(f"a job named {name!r} exists", code="job-exists")
    job = ask(kept, deployment, path, name=name, shown=str(data), literals=literals)
    if kept.served() is None:
        start(job)
    return job


def _with_settings(deployment: BatchDeploymentSpec, typed: Mapping[str, str]) -> BatchDeploymentSpec:
    if not typed:
        return deployment
    asked = files.deployment(None, {f"settings.{key}": text for key, text in typed.items()})
    merged = {**asdict(deployment.settings), **asked.body["settings"]}
    retries = asked.body["settings"].get("retry_settings", {})
    merged["retry_settings"] = {**asdict(deployment.settings.retry_settings), **retries}
    made = BatchDeploymentSpec.of_json({**asdict(deployment), "settings": merged})
    return replace(deployment, settings=made.settings)


def start(job: Job) -> None:
    """Execute a job in a process of its own, which outlives this one and its terminal."""
    command = [sys.executable, "-P", "-c", _ALONE, str(job.folder), json.dumps(sys.path)]
    with job.log.open("ab") as log:
        subprocess.run(  # noqa: S603  our own interpreter, as nobody's child
            ["/bin/sh", "-c", 'exec "$0" "$@" &', *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )


def serve(kept: Kept, where: Where) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code."""

    def listen(bound: socket.socket, way: Way, on_ready: Callable[[], None]) -> int | None:
        return serve_batch(kept, bound, way, say=say_safely, on_ready=on_ready)

    return announced(kept.name, where, listen)


def _asked(file: Path | None, typed: Mapping[str, str]) -> Asked:
    asked = files.endpoint(file, typed)
    for note in asked.notes:
        say_safely(note)
    return asked
