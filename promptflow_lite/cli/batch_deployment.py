"""`pf batch-deployment`: a flow that runs the jobs of a batch endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit_json, facts, pairs, say, say_safely, sure_to_delete, table
from promptflow_lite.cli.endpoint_options import DeploymentName, File, MaybeDeploymentName, Set, named
from promptflow_lite.cli.options import Output, Outputs, PlainYes

app = Group("Deployments of batch endpoints: a flow each, and how its jobs go.")

_ENDPOINT = typer.Option("--endpoint-name", "-e", help="The batch endpoint's name.", metavar="NAME")


@app.command(
    "create",
    examples="""
    pf batch-deployment create --file batch_deployment.yml --set-default
    pf batch-deployment create --name green --endpoint-name intents --set flow=flows/intent
    """,
)
def create(
    file: File = None,
    name: MaybeDeploymentName = None,
    endpoint_name: Annotated[str | None, _ENDPOINT] = None,
    set_default: Annotated[
        bool, typer.Option("--set-default", help="Let it run the jobs of callers that name nobody.")
    ] = False,
    set: Set = None,
    output: Outputs = Output.table,
) -> None:
    """Deploy a flow for jobs; one of that name is replaced.

    The file has Azure ML's keys, and ours: flow, variants, connections, column_mapping, init. The flow's
    folder is copied: later edits are not deployed. An endpoint's only deployment is its default.
    """
    _deploy(file, name, endpoint_name, set, output, is_default=set_default, is_new=True)


@app.command(
    "update",
    examples="""
    pf batch-deployment update --name green --endpoint-name intents --set settings.mini_batch_size=20
    pf batch-deployment update --file batch_deployment.yml
    """,
)
def update(
    file: File = None,
    name: MaybeDeploymentName = None,
    endpoint_name: Annotated[str | None, _ENDPOINT] = None,
    set: Set = None,
    output: Outputs = Output.table,
) -> None:
    """Change a deployment; what is left out stays. Jobs that wait or run go on as they were asked for."""
    _deploy(file, name, endpoint_name, set, output, is_default=False, is_new=False)


@app.command("show", examples="pf batch-deployment show --name green --endpoint-name intents")
def show(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    output: Outputs = Output.table,
) -> None:
    """Show a deployment: its flow and its settings."""
    from promptflow_lite.cli import batch_showing, batches

    found = batch_showing.described_deployment(batches.get(endpoint_name), name)
    if output is Output.json:
        emit_json(found)
        return
    flat = {**found, **found.pop("settings")}
    del flat["settings"]
    facts(flat)


@app.command("list", examples="pf batch-deployment list --endpoint-name intents --output json")
def list_(endpoint_name: Annotated[str, _ENDPOINT], output: Outputs = Output.table) -> None:
    """List the deployments of a batch endpoint."""
    from promptflow_lite.cli import batch_showing, batches

    kept = batches.get(endpoint_name)
    found = [batch_showing.described_deployment(kept, name) for name in kept.read().deployments]
    if output is Output.json:
        emit_json(found)
        return
    rows = [
        (d["name"], "yes" if d["is_default"] else "", d["settings"]["output_action"], d["flow"])
        for d in found
    ]
    table(("name", "default", "output_action", "flow"), rows)


@app.command("delete", examples="pf batch-deployment delete --name green --endpoint-name intents --yes")
def delete(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    yes: PlainYes = False,
) -> None:
    """Delete a deployment; its jobs go on. The default goes last."""
    from promptflow_lite.cli import batch_showing, batches

    kept = batches.get(endpoint_name)
    batch_showing.described_deployment(kept, name)
    sure_to_delete(f"the deployment {name!r} of {endpoint_name!r}", yes=yes)
    batches.undeploy(kept, name)
    say(f"deployment {name!r}: deleted")


@app.command("list-jobs", examples="pf batch-deployment list-jobs --name green --endpoint-name intents")
def list_jobs(
    name: DeploymentName,
    endpoint_name: Annotated[str, _ENDPOINT],
    output: Outputs = Output.table,
) -> None:
    """List the jobs of a deployment, the newest first, also of one that is gone."""
    from promptflow_lite.cli import batches, jobs

    found = [job for job in batches.get(endpoint_name).jobs() if job.asked["deployment"]["name"] == name]
    jobs.show_all(found, as_json=output is Output.json)


def _deploy(
    file: Path | None,
    name: str | None,
    endpoint_name: str | None,
    set: list[str] | None,
    output: Output,
    *,
    is_default: bool,
    is_new: bool,
) -> None:
    from promptflow_lite.cli import batch_showing, batches
    from promptflow_lite.serving.batch import files

    asked = files.deployment(file, pairs(set, "--set"))
    for note in asked.notes:
        say_safely(note)
    name = named(name, asked.body.get("name"), "--name")
    kept = batches.get(named(endpoint_name, asked.body.get("endpoint_name"), "--endpoint-name"))
    if not is_new:
        batch_showing.described_deployment(kept, name)
    batches.deploy(kept, asked, name, is_default=is_default)
    if output is Output.json:
        emit_json(batch_showing.described_deployment(kept, name))
    else:
        said = ", the default" if kept.read().default == name else ""
        say(f"deployment {name!r} of {kept.name!r}: {'created' if is_new else 'updated'}{said}")
