"""`pf endpoint`: a name for callers, and behind it deployments that share its traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptflow_lite.cli.console import Group, emit_json, pairs, say, sure_to_delete
from promptflow_lite.cli.endpoint_credentials import add_to as add_credentials
from promptflow_lite.cli.endpoint_options import EndpointName, File, Force, MaybeEndpointName, Set, typed
from promptflow_lite.cli.options import Output, Outputs, PlainYes
from promptflow_lite.errors import UserError

if TYPE_CHECKING:
    from promptflow_lite.serving.endpoints.store import Kept

app = Group("Endpoints of several deployments: traffic, keys, calls.")


@app.command(
    "create",
    examples="""
    pf endpoint create --name support
    pf endpoint create --file endpoint.yml
    pf endpoint create --file endpoint.yml --set auth_mode=none
    """,
)
def create(
    file: File = None,
    name: MaybeEndpointName = None,
    auth_mode: Annotated[
        str | None, typer.Option("--auth-mode", help="key: callers need one of two keys; none: nobody does.")
    ] = None,
    set: Set = None,
    force: Force = False,
    output: Outputs = Output.table,
) -> None:
    """Make an endpoint, with the deployments that stand in its file; show its two keys, once.

    The file has Azure ML's keys: name, description, tags, auth_mode, traffic, mirror_traffic; and ours:
    deployments, affinity, gate, rollout. 'pf endpoint serve' then answers its callers.
    """
    from promptflow_lite.cli import endpoint_keys, endpoint_showing, endpoints

    changes = typed(set, name=name, auth_mode=auth_mode)
    kept, made = endpoints.create(file, changes, force=force)
    if output is Output.json:
        emit_json(endpoint_showing.described(kept, keys=made))
        return
    endpoint_keys.show_made(kept, made)
    say(f"endpoint {kept.name!r}: created; pf endpoint serve {kept.name}  serves it")


@app.command(
    "update",
    examples="""
    pf endpoint update --name support --traffic "blue=90 green=10"
    pf endpoint update --name support --mirror-traffic "green=10"
    pf endpoint update --file endpoint.yml
    """,
)
def update(
    file: File = None,
    name: MaybeEndpointName = None,
    traffic: Annotated[
        list[str] | None,
        typer.Option("--traffic", help="Whole percents, 0 or 100 together.", metavar="'BLUE=90 GREEN=10'"),
    ] = None,
    mirror_traffic: Annotated[
        list[str] | None,
        typer.Option("--mirror-traffic", help="Copies of requests; 0 ends it.", metavar="'GREEN=10'"),
    ] = None,
    set: Set = None,
    force: Force = False,
    output: Outputs = Output.table,
) -> None:
    """Change an endpoint while it is served: who gets what, and whatever else its file says.

    What is left out stays. The command ends once the change is in effect. Where the endpoint has a gate,
    those that get more traffic must pass it: exit code 1, it fails; 3, it is inconclusive; nothing changes.
    """
    from promptflow_lite.cli import endpoint_showing, endpoints

    kept = endpoints.update(
        file,
        typed(set, name=name),
        traffic=_percents(traffic),
        mirror=_percents(mirror_traffic, "--mirror-traffic"),
        force=force,
    )
    if output is Output.json:
        emit_json(endpoint_showing.described(kept))
        return
    endpoint_showing.say_shares(kept)


@app.command("show", examples="pf endpoint show --name support --output json")
def show(name: EndpointName, output: Outputs = Output.table) -> None:
    """Show an endpoint: who has which share, and how its deployments are."""
    from promptflow_lite.cli import endpoint_showing, endpoints

    endpoint_showing.show(endpoints.get(name), as_json=output is Output.json)


@app.command("list", examples="pf endpoint list --output json")
def list_(output: Outputs = Output.table) -> None:
    """List the endpoints of this home."""
    from promptflow_lite.cli import endpoint_showing, endpoints

    endpoint_showing.show_all(endpoints.kept_endpoints().all(), as_json=output is Output.json)


@app.command("delete", examples="pf endpoint delete --name support --yes")
def delete(name: EndpointName, yes: PlainYes = False) -> None:
    """Delete an endpoint with its deployments, keys and logs. One that is served must end first."""
    from promptflow_lite.cli import endpoints

    endpoints.get(name)
    sure_to_delete(f"the endpoint {name!r} with its deployments", yes=yes)
    endpoints.kept_endpoints().delete(name)
    say(f"endpoint {name!r}: deleted")


@app.command(
    "invoke",
    examples="""
    pf endpoint invoke --name support --inputs question="Where is my order?"
    pf endpoint invoke --name support --request-file request.json --deployment-name green
    """,
)
def invoke(
    name: EndpointName,
    request_file: Annotated[
        Path | None,
        typer.Option("--request-file", "-r", help="The inputs as a JSON file.", metavar="PATH"),
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--inputs", help="The inputs by name.", metavar="NAME=VALUE ...")
    ] = None,
    deployment_name: Annotated[
        str | None,
        typer.Option("--deployment-name", "-d", help="Ask this one, past the split.", metavar="NAME"),
    ] = None,
) -> int:
    """Call a served endpoint's /score; the answer goes to stdout. Exit code 1: the answer is an error.

    No key is needed: whoever may read the home folder may call.
    """
    from promptflow_lite.cli import endpoints

    if (request_file is None) == (inputs is None):
        raise UserError("the inputs come by --request-file or by --inputs", code="missing-option")
    return endpoints.invoke(
        endpoints.get(name), request_file=request_file, inputs=pairs(inputs, "--inputs"), to=deployment_name
    )


def _get(name: str) -> Kept:
    from promptflow_lite.cli import endpoints

    return endpoints.get(name)


add_credentials(app, "pf endpoint", "support", _get)


def _percents(texts: list[str] | None, option: str = "--traffic") -> dict[str, int] | None:
    """`blue=90 green=10`, in one text or several, with spaces or commas between.

    >>> _percents(["blue=90 green=10"])
    {'blue': 90, 'green': 10}
    """
    if texts is None:
        return None
    found = {}
    for name, text in pairs(" ".join(texts).replace(",", " ").split(), option).items():
        if not text.isascii() or not text.isdigit():
            raise UserError(f"{option}: {name}: expected a whole percent, got {text!r}", code="bad-option")
        found[name] = int(text)
    return found
