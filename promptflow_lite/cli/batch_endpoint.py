"""`pf batch-endpoint`: a flow over whole files, asked for as jobs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, pairs, say, sure_to_delete
from promptflow_lite.cli.endpoint_credentials import add_to as add_credentials
from promptflow_lite.cli.endpoint_options import EndpointName, File, MaybeEndpointName, Served, Set, typed
from promptflow_lite.cli.options import AllowedHosts, Host, LogLevel, Output, Outputs, PlainYes, Port

if TYPE_CHECKING:
    from promptflow_lite.serving.batch.store import Kept

app = Group("Batch endpoints: a flow over whole files, asked for as jobs.")


_LARGEST_BODY = 1024 * 1024
"""Of a request that is no data."""


class InputType(StrEnum):
    """What the data is."""

    uri_file = "uri_file"
    uri_folder = "uri_folder"


@app.command(
    "create",
    examples="""
    pf batch-endpoint create --name intents
    pf batch-endpoint create --file batch_endpoint.yml --set jobs.max_running=2
    """,
)
def create(
    file: File = None,
    name: MaybeEndpointName = None,
    set: Set = None,
    output: Outputs = Output.table,
) -> None:
    """Make a batch endpoint; show its two keys, once.

    The file has Azure ML's keys: name, description, tags, auth_mode, defaults; and ours: data_folders, jobs.
    """
    from promptflow_lite.cli import batch_showing, batches, endpoint_keys

    kept, made = batches.create(file, typed(set, name=name))
    if output is Output.json:
        emit_json(batch_showing.described(kept, keys=made))
        return
    endpoint_keys.show_made(kept, made)
    say(f"batch endpoint {kept.name!r}: created; pf batch-deployment create  gives it a flow")


@app.command(
    "update",
    examples="""
    pf batch-endpoint update --name intents --defaults green
    pf batch-endpoint update --file batch_endpoint.yml
    """,
)
def update(
    file: File = None,
    name: MaybeEndpointName = None,
    defaults: Annotated[
        str | None,
        typer.Option("--defaults", help="Who answers callers that name no deployment.", metavar="DEPLOYMENT"),
    ] = None,
    set: Set = None,
    output: Outputs = Output.table,
) -> None:
    """Change a batch endpoint while it is served; what is left out stays. Jobs that run are left alone."""
    from promptflow_lite.cli import batch_showing, batches

    changes = typed(set, name=name)
    if defaults is not None:
        named = defaults.removeprefix("deployment_name=")
        changes["defaults"] = json.dumps({"deployment_name": named})
    batch_showing.show(batches.update(file, changes), as_json=output is Output.json)


@app.command("show", examples="pf batch-endpoint show --name intents --output json")
def show(name: EndpointName, output: Outputs = Output.table) -> None:
    """Show a batch endpoint and its deployments."""
    from promptflow_lite.cli import batch_showing, batches

    batch_showing.show(batches.get(name), as_json=output is Output.json)


@app.command("list", examples="pf batch-endpoint list --output json")
def list_(output: Outputs = Output.table) -> None:
    """List the batch endpoints of this home."""
    from promptflow_lite.cli import batch_showing, batches

    batch_showing.show_all(batches.kept_endpoints().all(), as_json=output is Output.json)


@app.command("delete", examples="pf batch-endpoint delete --name intents --yes")
def delete(name: EndpointName, yes: PlainYes = False) -> None:
    """Delete a batch endpoint with its deployments, keys and jobs; their runs stay. It must not be served."""
    from promptflow_lite.cli import batches

    batches.get(name)
    sure_to_delete(f"the batch endpoint {name!r} with its deployments and jobs", yes=yes)
    batches.delete(name)
    say(f"batch endpoint {name!r}: deleted")


@app.command(
    "invoke",
    examples="""
    pf batch-endpoint invoke --name intents --input data.jsonl
    pf batch-endpoint invoke --name intents --input incoming --input-type uri_folder --deployment-name green
    pf batch-endpoint invoke --name intents --input data.csv --inputs tone=formal --stream
    """,
)
def invoke(
    name: EndpointName,
    input: Annotated[
        Path, typer.Option("--input", help="The data: a file, or a folder of files.", metavar="PATH")
    ],
    input_type: Annotated[
        InputType | None, typer.Option("--input-type", help="What it is.  [default: what is found there]")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--inputs", help="Inputs that are the same for all rows.", metavar="NAME=VALUE ..."),
    ] = None,
    deployment_name: Annotated[
        str | None,
        typer.Option("--deployment-name", "-d", help="Who runs it.  [default: the default]", metavar="NAME"),
    ] = None,
    job_name: Annotated[
        str | None, typer.Option("--job-name", help="The job's name, and its run's.", metavar="NAME")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Settings of this job over the deployment's: mini_batch_size=4.",
            metavar="KEY=VALUE ...",
        ),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Follow the job to its end.")] = False,
    output: Outputs = Output.table,
) -> int:
    """Ask for a job, and print its name; 'pf job stream' follows it.

    An endpoint that is served runs the job when it has room. Where none is, the job runs at once, in a
    process of its own. No key is needed.
    """
    from promptflow_lite.cli import batches, jobs

    job = batches.invoke(
        batches.get(name),
        input,
        is_folder=None if input_type is None else input_type is InputType.uri_folder,
        literals=pairs(inputs, "--inputs"),
        to=deployment_name,
        name=job_name,
        changes=pairs(set, "--set"),
    )
    if stream:
        say(job.name)
        return jobs.stream(job, as_json=output is Output.json)
    if output is Output.json:
        emit_json(jobs.described(job))
    else:
        emit(job.name)
        say(f"pf job stream --name {job.name}  follows it")
    return 0


@app.command("list-jobs", examples="pf batch-endpoint list-jobs --name intents")
def list_jobs(name: EndpointName, output: Outputs = Output.table) -> None:
    """List the jobs of a batch endpoint, the newest first."""
    from promptflow_lite.cli import batches, jobs

    jobs.show_all(batches.get(name).jobs(), as_json=output is Output.json)


def _get(name: str) -> Kept:
    from promptflow_lite.cli import batches

    return batches.get(name)


add_credentials(app, "pf batch-endpoint", "intents", _get)


@app.command(
    "serve",
    examples="""
    pf batch-endpoint serve intents
    pf batch-endpoint serve intents --host 0.0.0.0 --port 443
    """,
)
def serve(
    name: Served,
    port: Port = 8080,
    host: Host = "127.0.0.1",
    allowed_hosts: AllowedHosts = None,
    grace_s: Annotated[
        float, typer.Option("--grace", help="Seconds that requests may take at the end.", min=0.0)
    ] = 30.0,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="What goes to stderr.")
    ] = LogLevel.warning,
) -> int:
    """Serve a batch endpoint: one process at the door, and those of the jobs that run.

    Jobs that have not ended when it ends, however that is, go on when it is served again. Exit code 128 + n
    after signal n.
    """
    from promptflow_lite.cli import batches
    from promptflow_lite.cli.endpoint_serve import Where

    return batches.serve(
        batches.get(name),
        Where(
            host=host,
            port=port,
            allowed_hosts=allowed_hosts or (),
            max_body_bytes=_LARGEST_BODY,
            grace_s=grace_s,
            log_level=log_level.value,
        ),
    )
