"""`pf endpoint`: serve an endpoint, and roll a deployment out while it is served."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, say
from promptflow_lite.cli.endpoint_options import EndpointName, Force, Served
from promptflow_lite.cli.options import AllowedHosts, Host, LogLevel, MaxBodyBytes, Output, Outputs, Port

app = Group("Endpoints of several deployments: traffic, keys, calls.")


class Verb(StrEnum):
    """What is done to a roll-out."""

    start = "start"
    show = "show"
    pause = "pause"
    resume = "resume"
    abort = "abort"


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
    name: EndpointName,
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
    force: Force = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="start, show, resume: until it has ended or needs a person.")
    ] = False,
    output: Outputs = Output.table,
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
    name: Served,
    port: Port = 8080,
    host: Host = "127.0.0.1",
    allowed_hosts: AllowedHosts = None,
    cors_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origins", help="Sites whose pages may call. None otherwise.", metavar="ORIGIN ..."
        ),
    ] = None,
    max_body_bytes: MaxBodyBytes = 8 * 1024 * 1024,
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
