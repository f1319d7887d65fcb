"""`pf endpoint`: a name for callers, and behind it deployments that share its traffic."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, pairs, say, table
from promptflow_lite.errors import UserError

app = Group("Endpoints of several deployments: traffic, keys, calls.")


class Output(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"


class KeyType(StrEnum):
    """Which of the two keys."""

    primary = "primary"
    secondary = "secondary"


class Verb(StrEnum):
    """What is done to a roll-out."""

    start = "start"
    show = "show"
    pause = "pause"
    resume = "resume"
    abort = "abort"


class LogLevel(StrEnum):
    """What `pf endpoint serve` writes to stderr."""

    error = "error"
    warning = "warning"
    info = "info"


NAME = typer.Option("--name", "-n", help="The endpoint's name.", metavar="NAME")
FILE = typer.Option("--file", "-f", help="Its YAML.", metavar="PATH", exists=False)
SET = typer.Option(
    "--set", help="Keys over those of the file, as in affinity.header=X-Session-Id.", metavar="KEY=VALUE ..."
)
FORCE = typer.Option("--force", help="Give the traffic whatever the gate says.")
OUTPUT = typer.Option("--output", "-o", help="How the result is written.")
YES = typer.Option("--yes", "-y", help="Do not ask.")


@app.command(
    "create",
    examples="""
    pf endpoint create --name support
    pf endpoint create --file endpoint.yml
    pf endpoint create --file endpoint.yml --set auth_mode=none
    """,
)
def create(
    file: Annotated[Path | None, FILE] = None,
    name: Annotated[str | None, NAME] = None,
    auth_mode: Annotated[
        str | None, typer.Option("--auth-mode", help="key: callers need one of two keys; none: nobody does.")
    ] = None,
    set: Annotated[list[str] | None, SET] = None,
    force: Annotated[bool, FORCE] = False,
    output: Annotated[Output, OUTPUT] = Output.table,
) -> None:
    """Make an endpoint, with the deployments that stand in its file; show its two keys, once.

    The file has Azure ML's keys: name, description, tags, auth_mode, traffic, mirror_traffic; and ours:
    deployments, affinity, gate, rollout. 'pf endpoint serve' then answers its callers.
    """
    from promptflow_lite.cli import endpoints

    changes = _changes(set, name=name, auth_mode=auth_mode)
    kept, made = endpoints.create(file, changes, force=force)
    if output is Output.json:
        emit_json(endpoints.described(kept, keys=made))
        return
    endpoints.show_keys(kept, made)
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
    file: Annotated[Path | None, FILE] = None,
    name: Annotated[str | None, NAME] = None,
    traffic: Annotated[
        list[str] | None,
        typer.Option("--traffic", help="Whole percents, 0 or 100 together.", metavar="'BLUE=90 GREEN=10'"),
    ] = None,
    mirror_traffic: Annotated[
        list[str] | None,
        typer.Option("--mirror-traffic", help="Copies of requests; 0 ends it.", metavar="'GREEN=10'"),
    ] = None,
    set: Annotated[list[str] | None, SET] = None,
    force: Annotated[bool, FORCE] = False,
    output: Annotated[Output, OUTPUT] = Output.table,
) -> None:
    """Change an endpoint while it is served: who gets what, and whatever else its file says.

    What is left out stays. The command ends once the change is in effect. Where the endpoint has a gate,
    those that get more traffic must pass it: exit code 1, it fails; 3, it is inconclusive; nothing changes.
    """
    from promptflow_lite.cli import endpoints

    kept = endpoints.update(
        file,
        _changes(set, name=name),
        traffic=percents(traffic),
        mirror=percents(mirror_traffic, "--mirror-traffic"),
        force=force,
    )
    if output is Output.json:
        emit_json(endpoints.described(kept))
        return
    endpoints.say_shares(kept)


@app.command("show", examples="pf endpoint show --name support --output json")
def show(name: Annotated[str, NAME], output: Annotated[Output, OUTPUT] = Output.table) -> None:
    """Show an endpoint: who has which share, and how its deployments are."""
    from promptflow_lite.cli import endpoints

    kept = endpoints.get(name)
    if output is Output.json:
        emit_json(endpoints.described(kept))
    else:
        endpoints.show(kept)


@app.command("list", examples="pf endpoint list --output json")
def list_(output: Annotated[Output, OUTPUT] = Output.table) -> None:
    """List the endpoints of this home."""
    from promptflow_lite.cli import endpoints

    found = [endpoints.described(kept) for kept in endpoints.all_kept()]
    if output is Output.json:
        emit_json(found)
        return
    table(
        ("name", "served at", "traffic", "deployments"),
        [
            (e["name"], e["scoring_uri"] or "", endpoints.shares(e["traffic"]), ", ".join(e["deployments"]))
            for e in found
        ],
    )


@app.command("delete", examples="pf endpoint delete --name support --yes")
def delete(name: Annotated[str, NAME], yes: Annotated[bool, YES] = False) -> None:
    """Delete an endpoint with its deployments, keys and logs. One that is served must end first."""
    from promptflow_lite.cli import endpoints

    endpoints.get(name)
    sure(f"delete the endpoint {name!r} with its deployments?", yes=yes)
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
    name: Annotated[str, NAME],
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


@app.command("get-credentials", examples="pf endpoint get-credentials --name support")
def get_credentials(name: Annotated[str, NAME], output: Annotated[Output, OUTPUT] = Output.table) -> None:
    """Show what tells the two keys apart: the keys themselves are kept as hashes, and shown when made."""
    from promptflow_lite.cli import endpoint_keys, endpoints

    way_out = f"pf endpoint regenerate-keys --name {name} --key-type primary"
    endpoint_keys.show_fingerprints(endpoints.get(name).keys, way_out, as_json=output is Output.json)


@app.command("regenerate-keys", examples="pf endpoint regenerate-keys --name support --key-type secondary")
def regenerate_keys(
    name: Annotated[str, NAME],
    key_type: Annotated[KeyType, typer.Option("--key-type", help="Which of the two.")] = KeyType.primary,
    output: Annotated[Output, OUTPUT] = Output.table,
) -> None:
    """Make one of the two keys anew, and show it, once; callers with the other are served on."""
    from promptflow_lite.cli import endpoint_keys, endpoints

    endpoint_keys.renew(endpoints.get(name).keys, key_type, as_json=output is Output.json)


@app.command(
    "rollout",
    examples="""
    pf endpoint rollout start --name support --to green --steps 10 50 100 --every 10m
    pf endpoint rollout show --name support --wait
    pf endpoint rollout abort --name support
    """,
)
def rollout(
    verb: Annotated[Verb, typer.Argument(help="What to do.")],
    name: Annotated[str, NAME],
    to: Annotated[
        str | None, typer.Option("--to", help="start: the deployment that gets the traffic.", metavar="NAME")
    ] = None,
    steps: Annotated[
        list[int] | None,
        typer.Option("--steps", help="start: its percents, rising.", metavar="PERCENT ..."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", help="start: how long a step takes at least, as 10m.", metavar="TIME"),
    ] = None,
    min_requests: Annotated[
        int | None,
        typer.Option("--min-requests", help="start: answers of both sides before a step is judged.", min=1),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", help="start: a gate file over what is observed.", metavar="FILE"),
    ] = None,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="start, show, resume: until it has ended or needs a person.")
    ] = False,
    output: Annotated[Output, OUTPUT] = Output.table,
) -> int:
    """Give a deployment its traffic step by step, for as long as what is observed allows it.

    What is left out stands under 'rollout' in endpoint.yml, or has its default. A step that fails gives the
    traffic back as it was. With --wait, exit code 0: completed; 1: failed or aborted; 3: paused, nothing
    being sure, or by hand. start: 1 or 3 where the endpoint's gate says no.
    """
    from promptflow_lite.cli import endpoints
    from promptflow_lite.cli import rollout as rolling

    kept = endpoints.get(name)
    code = 0
    match verb:
        case Verb.start:
            asked = rolling.Asked(to, steps or (), every, min_requests, rules, force)
            code = rolling.start(kept, asked)
        case Verb.pause:
            rolling.pause(kept)
        case Verb.resume:
            rolling.resume(kept)
        case Verb.abort:
            rolling.abort(kept)
        case Verb.show:
            rolling.show(kept, emit if output is Output.table else say)
    if code == 0 and wait and verb in (Verb.start, Verb.show, Verb.resume):
        code = rolling.wait(kept)
    if output is Output.json and kept.read().progress is not None:
        emit_json(rolling.described(kept))
    return code


@app.command(
    "serve",
    examples="""
    pf endpoint serve support
    pf endpoint serve support --host 0.0.0.0 --port 443
    """,
)
def serve(
    name: Annotated[str, typer.Argument(help="The endpoint's name.", metavar="NAME")],
    port: Annotated[
        int, typer.Option("--port", help="Where to listen; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on.", metavar="HOST")
    ] = "127.0.0.1",
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option("--allowed-hosts", help="Further names in the Host header.", metavar="NAME ..."),
    ] = None,
    cors_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origins", help="Sites whose pages may call. None otherwise.", metavar="ORIGIN ..."
        ),
    ] = None,
    max_body_bytes: Annotated[
        int, typer.Option("--max-body-bytes", help="The largest request.", min=1024, metavar="BYTES")
    ] = 8 * 1024 * 1024,
    grace_s: Annotated[
        float,
        typer.Option("--grace", help="Seconds that what is in flight may take at the end.", min=0.0),
    ] = 30.0,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="What goes to stderr; 'get-logs' has all of it.")
    ] = LogLevel.warning,
    mlflow: Annotated[
        str,
        typer.Option(
            "--mlflow",
            help="Tell this MLflow of requests, as traces: what a deployment's data_collector keeps, "
            "else all. Feedback becomes their assessments.",
            metavar="URI",
        ),
    ] = "",
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer it as an MCP tool too, at /mcp.")] = False,
) -> int:
    """Serve an endpoint: one process at the door, and one or more for each deployment.

    It takes up each change that the other commands make. Exit code 128 + n after signal n.
    """
    from promptflow_lite.cli import endpoint_serve, endpoints

    return endpoint_serve.serve(
        endpoints.get(name),
        endpoint_serve.Where(
            host=host,
            port=port,
            allowed_hosts=allowed_hosts or (),
            cors_origins=cors_origins or (),
            max_body_bytes=max_body_bytes,
            grace_s=grace_s,
            log_level=log_level.value,
            mlflow=mlflow,
            mcp=mcp,
        ),
    )


def sure(question: str, *, yes: bool) -> None:
    """Go on if a person agrees, or `--yes` was said."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("to delete without being asked, say --yes", code="missing-option")
    typer.confirm(neutral(question), abort=True, err=True)


def percents(texts: list[str] | None, option: str = "--traffic") -> dict[str, int] | None:
    """`blue=90 green=10`, in one text or several, with spaces or commas between.

    >>> percents(["blue=90 green=10"])
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


def _changes(texts: list[str] | None, **named: str | None) -> dict[str, str]:
    """`--set` texts, and options that stand for a key."""
    typed = {key: json.dumps(text) for key, text in named.items() if text is not None}
    return {**pairs(texts, "--set"), **typed}
