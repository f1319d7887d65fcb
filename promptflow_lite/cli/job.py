"""`pf job`: what batch endpoints were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, say
from promptflow_lite.cli.options import Output, Outputs

app = Group("Jobs of batch endpoints: see, follow, go on with, end, fetch.")

_NAME = typer.Option("--name", "-n", help="The job's name.", metavar="NAME")


@app.command("list", examples="pf job list --output json")
def list_(output: Outputs = Output.table) -> None:
    """List the jobs of all batch endpoints, the newest first."""
    from promptflow_lite.cli import batches, jobs

    every = [job for kept in batches.kept_endpoints().all() for job in kept.jobs()]
    jobs.show_all(every, as_json=output is Output.json)


@app.command("show", examples="pf job show --name batchjob-0123 --output json")
def show(name: Annotated[str, _NAME], output: Outputs = Output.table) -> None:
    """Show a job: how it is, how far, what failed."""
    from promptflow_lite.cli import jobs

    job = jobs.get(name)
    if output is Output.json:
        emit_json(jobs.described(job))
    else:
        jobs.show(job)


@app.command("stream", examples="pf job stream --name batchjob-0123")
def stream(name: Annotated[str, _NAME], output: Outputs = Output.table) -> int:
    """Follow a job to its end. Ctrl-C ends the watching, not the job. Exit code 3: some rows failed."""
    from promptflow_lite.cli import jobs

    return jobs.stream(jobs.get(name), as_json=output is Output.json)


@app.command("resume", examples="pf job resume --name batchjob-0123")
def resume(name: Annotated[str, _NAME]) -> None:
    """Go on with a job whose process died while nobody serves its endpoint; what is done is kept."""
    from promptflow_lite.cli import jobs

    jobs.resume(jobs.get(name))


@app.command("cancel", examples="pf job cancel --name batchjob-0123")
def cancel(name: Annotated[str, _NAME]) -> None:
    """End a job: rows in flight get ten seconds, and what is done is kept."""
    from promptflow_lite.cli import jobs

    job = jobs.get(name)
    jobs.cancel(job)
    say(f"job {name}: {job.status}")


@app.command("download", examples="pf job download --name batchjob-0123 --download-path results")
def download(
    name: Annotated[str, _NAME],
    download_path: Annotated[
        Path, typer.Option("--download-path", "-p", help="The folder; made if it is absent.", metavar="DIR")
    ] = Path(),
    output: Outputs = Output.table,
) -> None:
    """Copy a job's predictions and its summary to DIR/NAME."""
    from promptflow_lite.cli import jobs

    found = jobs.download(jobs.get(name), download_path)
    if output is Output.json:
        emit_json({"name": name, "files": [str(path) for path in found]})
        return
    for path in found:
        emit(str(path))
