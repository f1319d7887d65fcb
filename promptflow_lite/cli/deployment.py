"""`pf deployment`: a flow that answers behind an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import (
    Group,
    emit,
    emit_json,
    facts,
    neutral,
    pairs,
    say,
    say_safely,
    sure_to_delete,
    table,
)
from promptflow_lite.cli.endpoint_options import (
    DeploymentName,
    File,
    Force,
    MaybeDeploymentName,
    Set,
    named,
)
from promptflow_lite.cli.options import Output, Outputs, PlainYes

app = Group("Deployments of endpoints: a flow each, in processes of its own.")

_ENDPOINT = typer.Option("--endpoint-name", "-e", help="The endpoint's name.", metavar="NAME")
_NO_WAIT = typer.Option("--no-wait", help="Do not wait until it serves.")


@app.command(
    "create",
    examples="""
    pf deployment create --file blue.yml --all-traffic
    pf deployment create --name green --endpoint-name support --set flow=flows/support
    """,
)
def create(
    file: File = None,
    name: MaybeDeploymentName = None,
    endpoint_name: Annotated[str | None, _ENDPOINT] = None,
    all_traffic: Annotated[
        bool, typer.Option("--all-traffic", help="Give it all traffic once it serves.")
    ] = False,
    set: Set = None,
    no_wait: Annotated[bool, _NO_WAIT] = False,
    force: Force = False,
    output: Outputs = Output.table,
) -> None:
    """Deploy a flow; one of that name is replaced. Without --all-traffic its share stays what it is.

    The flow's folder is copied: what is edited later is not deployed. Where the endpoint is served, the
    command ends once the deployment answers; one that does not start is not kept, and nothing else changes.
    """
    _deploy(
        file,
        name,
        endpoint_name,
        set,
        output,
        all_traffic=all_traffic,
        wait=not no_wait,
        is_new=True,
        force=force,
    )


@app.command(
    "update",
    examples="""
    pf deployment update --name blue --endpoint-name support --set instance_count=2
    pf deployment update --file blue.yml
    """,
)
def update(
    file: File = None,
    name: MaybeDeploymentName = None,
    endpoint_name: Annotated[str | None, _ENDPOINT] = None,
    set: Set = None,
    no_wait: Annotated[bool, _NO_WAIT] = False,
    output: Outputs = Output.table,
) -> None:
    """Change a deployment; what is left out stays. The old processes serve until the new ones are ready.

    The flow is copied anew where --file or --set names it.
    """
    _deploy(file, name, endpoint_name, set, output, all_traffic=False, wait=not no_wait, is_new=False)


@app.command("show", examples="pf deployment show --name blue --endpoint-name support")
def show(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    output: Outputs = Output.table,
) -> None:
    """Show a deployment: its flow, its settings, how it is."""
    from promptflow_lite.cli import endpoint_showing, endpoints

    found = endpoint_showing.described_deployment(endpoints.get(endpoint_name), name)
    if output is Output.json:
        emit_json(found)
        return
    facts(found)


@app.command("list", examples="pf deployment list --endpoint-name support --output json")
def list_(endpoint_name: Annotated[str, _ENDPOINT], output: Outputs = Output.table) -> None:
    """List the deployments of an endpoint."""
    from promptflow_lite.cli import endpoint_showing, endpoints

    kept = endpoints.get(endpoint_name)
    found = [endpoint_showing.described_deployment(kept, name) for name in kept.read().deployments]
    if output is Output.json:
        emit_json(found)
        return
    columns = ("name", "state", "traffic", "mirror_traffic", "instance_count", "flow")
    table(columns, [[d[column] for column in columns] for d in found])


@app.command(
    "get-logs",
    examples="""
    pf deployment get-logs --name blue --endpoint-name support --lines 100
    pf deployment get-logs --name blue --endpoint-name support --follow
    """,
)
def get_logs(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    lines: Annotated[int, typer.Option("--lines", "-l", help="How many of the last lines.", min=1)] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")
    ] = False,
) -> None:
    """Print what a deployment's processes printed, what failed there, and when they came and went.

    Where there are several processes, each has its number before its lines.
    """
    from promptflow_lite.cli import endpoints

    kept = endpoints.get(endpoint_name)
    text = endpoints.log_of(kept, name, lines)
    if text:
        emit(neutral(text))
    elif not follow:
        say("nothing is logged yet")
    if follow:
        for more in endpoints.log_goes_on(kept, name):
            emit(neutral(more))


@app.command("delete", examples="pf deployment delete --name blue --endpoint-name support --yes")
def delete(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    yes: PlainYes = False,
) -> None:
    """Delete a deployment that has no traffic; it finishes what it has."""
    from promptflow_lite.cli import endpoint_showing, endpoints

    kept = endpoints.get(endpoint_name)
    endpoint_showing.described_deployment(kept, name)
    sure_to_delete(f"the deployment {name!r} of {endpoint_name!r}", yes=yes)
    endpoints.undeploy(kept, name)
    say(f"deployment {name!r}: deleted")


def _deploy(
    file: Path | None,
    name: str | None,
    endpoint_name: str | None,
    set: list[str] | None,
    output: Output,
    *,
    all_traffic: bool,
    wait: bool,
    is_new: bool,
    force: bool = False,
) -> None:
    from promptflow_lite.cli import endpoint_showing, endpoints
    from promptflow_lite.serving.endpoints import files

    asked = files.deployment(file, pairs(set, "--set"))
    for note in asked.notes:
        say_safely(note)
    name = named(name, asked.body.get("name"), "--name")
    kept = endpoints.get(named(endpoint_name, asked.body.get("endpoint_name"), "--endpoint-name"))
    if not is_new:
        endpoint_showing.described_deployment(kept, name)
    endpoints.deploy(kept, asked, name, all_traffic=all_traffic, wait=wait, force=force)
    if output is Output.json:
        emit_json(endpoint_showing.described_deployment(kept, name))
