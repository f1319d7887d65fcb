"""`pf flow serve`: a flow behind HTTP; `pf flow key`: the keys of those who may call it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group
from promptflow_lite.cli.options import (
    Connections,
    EnvironmentVariables,
    Init,
    LogLevel,
    MaxBodyBytes,
    Port,
    Source,
    Variant,
)

app = Group("Make, check, try and look at flows.")


class Engine(StrEnum):
    """What Prompt flow serves with."""

    flask = "flask"
    fastapi = "fastapi"


@app.command(
    "serve",
    examples="""
    pf flow serve --source my_flow
    pf flow serve --source my_flow --port 8081 --reload
    pf flow serve --source my_flow --host 0.0.0.0 --workers 4 --key-file keys
    pf flow serve --source my_flow --collect kept --sampling-rate 0.1
    pf flow serve --source my_flow --mcp --stdio
    """,
)
def serve(
    source: Source,
    port: Port = 8080,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="The address to listen on. Beyond this machine, callers need a key.",
            metavar="HOST",
        ),
    ] = "127.0.0.1",
    workers: Annotated[
        int,
        typer.Option("--workers", help="How many processes answer; the limits below hold for each.", min=1),
    ] = 1,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Watch the flow's code, YAML and prompts: a change is served once it loads, and until then "
            "the old flow.",
        ),
    ] = False,
    variant: Variant = None,
    connections: Connections = None,
    environment_variables: EnvironmentVariables = None,
    init: Init = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="A file with one key or two, read again when it changes; 'pf flow key' makes it. Without it "
            "the keys are in PF_SERVE_KEY, with a comma between two.",
            metavar="FILE",
        ),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-hosts",
            help="Further names that callers on this machine may use in the Host header, such as a proxy's.",
            metavar="NAME ...",
        ),
    ] = None,
    cors_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origins",
            "--cors-origin",
            help="Sites whose pages may call, as in https://app.example.com. None otherwise.",
            metavar="ORIGIN ...",
        ),
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds a run may take.", min=0.001, metavar="SECONDS")
    ] = 60.0,
    max_concurrency: Annotated[
        int, typer.Option("--max-concurrency", help="Runs in flight at once.", min=1, metavar="N")
    ] = 64,
    max_queue: Annotated[
        int, typer.Option("--max-queue", help="Requests that may wait for them; the rest get 429.", min=0)
    ] = 256,
    queue_wait_s: Annotated[
        float,
        typer.Option("--max-queue-wait", help="Seconds a request may wait.", min=0.0, metavar="SECONDS"),
    ] = 30.0,
    max_body_bytes: MaxBodyBytes = 8 * 1024 * 1024,
    grace_s: Annotated[
        float,
        typer.Option(
            "--grace", help="Seconds that what is in flight may take at the end.", min=0.0, metavar="SECONDS"
        ),
    ] = 30.0,
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", help="info: also what the flow's code prints. Requests are not logged."),
    ] = LogLevel.warning,
    collect: Annotated[
        Path | None,
        typer.Option(
            "--collect",
            help="Keep requests and their answers, and feedback, in this folder: pf data from-traffic makes "
            "data of them.",
            metavar="DIR",
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow",
            help="Tell this MLflow of requests, as traces; feedback becomes their assessments.",
            metavar="URI",
        ),
    ] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer the flow as an MCP tool too, at /mcp.")] = False,
    stdio: Annotated[
        bool,
        typer.Option(
            "--stdio", help="With --mcp: speak with one client over stdin and stdout, and listen nowhere."
        ),
    ] = False,
    sampling_rate: Annotated[
        float,
        typer.Option(
            "--sampling-rate",
            help="Which part of the requests is kept and traced.",
            min=0.0,
            max=1.0,
            metavar="PART",
        ),
    ] = 1.0,
    keep_days: Annotated[
        float,
        typer.Option(
            "--keep-days",
            help="With --collect: how many days requests are kept; 0 for ever.",
            min=0.0,
            metavar="DAYS",
        ),
    ] = 30.0,
    keep_mb: Annotated[
        int,
        typer.Option(
            "--keep-mb",
            help="With --collect: how many megabytes of requests are kept, the newest; 0 for any.",
            min=0,
            metavar="MB",
        ),
    ] = 1024,
    skip_open_browser: Annotated[
        bool, typer.Option("--skip-open-browser", help="Open no browser at the start.")
    ] = False,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="Accepted as Prompt flow's; there is one engine here.", hidden=True),
    ] = None,
) -> int:
    """Serve a flow over HTTP: /score, an OpenAI-compatible /v1, a schema, health, metrics.

    A flow with an error does not start to listen. Ctrl-C and SIGTERM let what is in flight finish. Exit code
    128 + n after signal n; 2: the flow or an option is wrong.
    """
    from promptflow_lite.cli import serve as serving

    return serving.serve(
        serving.Asked(
            source=source,
            host=host,
            port=port,
            workers=workers,
            reload=reload,
            variant=variant,
            connections=connections,
            environment_variables=environment_variables,
            init=init,
            key_file=key_file,
            allowed_hosts=allowed_hosts,
            cors_origins=cors_origins,
            timeout_s=timeout_s,
            max_concurrency=max_concurrency,
            max_queue=max_queue,
            queue_wait_s=queue_wait_s,
            max_body_bytes=max_body_bytes,
            grace_s=grace_s,
            skip_open_browser=skip_open_browser,
            log_level=log_level.value,
            collect=collect,
            mlflow=mlflow,
            sampling_rate=sampling_rate,
            keep_days=keep_days,
            keep_mb=keep_mb,
            mcp=mcp,
            stdio=stdio,
        )
    )


@app.command(
    "key",
    examples="""
    pf flow key --key-file keys
    pf flow key --key-file keys --replace 1
    """,
)
def key(
    key_file: Annotated[Path, typer.Option("--key-file", help="The file to write.", metavar="FILE")],
    replace: Annotated[
        int | None,
        typer.Option(
            "--replace", help="Make this one of the two keys anew, and keep the other.", min=1, max=2
        ),
    ] = None,
) -> None:
    """Make the two keys of a served flow, or replace one while callers use the other.

    The keys go to stdout and are shown only now: the file keeps their hashes. A server that was started with
    --key-file takes the new one within a second.
    """
    from promptflow_lite.cli.serve import make_keys

    make_keys(key_file, replace=replace)
