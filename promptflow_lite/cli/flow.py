"""`pf flow`: make a flow, check it, try it, look at it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, pairs, say
from promptflow_lite.cli.options import (
    Connections,
    EnvironmentVariables,
    Init,
    LogLevel,
    MaxBodyBytes,
    Port,
    Source,
    TextOutput,
    Variant,
)
from promptflow_lite.errors import UserError

app = Group("Make, check, try and look at flows.")


class Template(StrEnum):
    """What `pf flow init` can make."""

    standard = "standard"
    chat = "chat"
    evaluation = "evaluation"


class Picture(StrEnum):
    """How `pf flow show` draws."""

    tree = "tree"
    mermaid = "mermaid"
    svg = "svg"
    json = "json"


class Engine(StrEnum):
    """What Prompt flow serves with."""

    flask = "flask"
    fastapi = "fastapi"


@app.command(
    "init",
    examples="""
    pf flow init --flow my_flow
    pf flow init --flow my_chat --type chat
    pf flow init --flow my_code --entry intent.py --function extract --prompt-template prompt=tpl.jinja2
    """,
)
def init(
    flow: Annotated[Path, typer.Option("--flow", help="The folder to make.", metavar="DIR")],
    template: Annotated[Template, typer.Option("--type", help="What to start from.")] = Template.standard,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", "--assume-yes", help="Write over files that are there.")
    ] = False,
    entry: Annotated[
        str | None, typer.Option("--entry", metavar="FILE", help="A Python file of the folder to start from.")
    ] = None,
    function: Annotated[
        str | None, typer.Option("--function", metavar="NAME", help="Its function that the flow calls.")
    ] = None,
    prompt_template: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt-template",
            metavar="PARAMETER=FILE ...",
            help="Templates that give parameters of the function.",
        ),
    ] = None,
) -> None:
    """Make a small flow that works at once, or a flow of code that is there: --entry, --function."""
    from promptflow_lite.cli.scaffold import create

    if entry is not None or function is not None:
        if entry is None or function is None:
            raise UserError("--entry and --function go together", code="bad-option")
        from promptflow_lite.cli.scaffold_entry import create_for_entry

        prompts = pairs(prompt_template, "--prompt-template")
        for file in create_for_entry(flow, entry, function, prompts, overwrite=yes):
            say(f"wrote {file}")
        say(f"\nnext:\n  pf flow validate --source {flow}\n  pf flow test --flow {flow} --inputs ...")
        return
    for file in create(flow, template.value, overwrite=yes):
        say(f"wrote {file}")
    say("\nnext:")
    say(f"  pf flow validate --source {flow}")
    say(f"  pf flow test --flow {flow}" + (" --interactive" if template is Template.chat else ""))
    say(f"  pf run create --flow {flow} --data {flow / 'data.jsonl'}")


@app.command("validate", examples="pf flow validate --source my_flow")
def validate(
    source: Source,
    output: Annotated[
        TextOutput, typer.Option("--output", "-o", help="json: a list of complaints.")
    ] = TextOutput.text,
) -> int:
    """Check a flow's files: every complaint at once, with its place.

    Nothing of the flow is run or imported. Exit code 0: no error (warnings do not count); 2: at least one
    error.
    """
    from promptflow_lite.cli.checking import as_json, complaints_of, text_of

    complaints = complaints_of(source)
    if output is TextOutput.json:
        emit_json([as_json(complaint) for complaint in complaints])
    else:
        emit(text_of(source, complaints))
    return 2 if any(complaint.severity == "error" for complaint in complaints) else 0


@app.command(
    "test",
    examples="""
    pf flow test --flow my_flow
    pf flow test --flow my_flow --inputs text="Rye bread sells out by nine."
    pf flow test --flow my_flow --inputs my_flow/data.jsonl
    pf flow test --flow my_flow --node tidy --inputs title="'Bread.'"
    pf flow test --flow my_chat --interactive
    pf flow test --flow my_class --init model=gpt-4o-mini --inputs question=hi
    pf flow test --flow my_prompt.prompty
    """,
)
def test(
    flow: Annotated[
        Path,
        typer.Option(
            "--flow",
            help="The flow's folder, its file, a .prompty, or MODULE:FUNCTION.",
            metavar="PATH",
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--inputs",
            "--input",
            help="Inputs by name, or a .json or .jsonl file (its first line). For a node: by parameter, or "
            "by what it refers to, as in inputs.text=... or other.output=...",
            metavar="NAME=VALUE ...",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node", help="Run this node only; what it reads is given, or taken from the last test."
        ),
    ] = None,
    variant: Variant = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Chat with a chat flow.")] = False,
    connections: Connections = None,
    environment_variables: EnvironmentVariables = None,
    init: Init = None,
    output: Annotated[
        TextOutput,
        typer.Option("--output", "-o", help="json: the whole record, with every node, not just the outputs."),
    ] = TextOutput.text,
) -> int:
    """Run a flow once, or one of its nodes, or chat with it.

    The outputs go to stdout as JSON, everything else to stderr. Exit code 0: completed; 1: a node failed; 2:
    the flow or the inputs are wrong.
    """
    from promptflow_lite.cli.trying import Trial

    trial = Trial.of(
        flow,
        variant=variant,
        connections=connections,
        environment_variables=environment_variables,
        init=init,
        node=None if interactive else node,
    )
    if interactive:
        from promptflow_lite.cli.chatting import converse

        return converse(trial, inputs)
    if node is not None:
        return trial.test_node(node, inputs, whole=output is TextOutput.json)
    return trial.test_flow(inputs, whole=output is TextOutput.json)


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


@app.command(
    "show",
    examples="""
    pf flow show --source my_flow
    pf flow show --source my_flow --format mermaid
    pf flow show --source my_flow --format svg > my_flow.svg
    """,
)
def show(
    source: Source,
    picture: Annotated[Picture, typer.Option("--format", "-f", help="How to draw it.")] = Picture.tree,
) -> None:
    """Draw a flow: its inputs, its nodes in the order they can run, its outputs."""
    from promptflow_lite.flow import graph, pictures
    from promptflow_lite.flow.load import load_flow

    flow = load_flow(source)
    match picture:
        case Picture.tree:
            emit(neutral(pictures.to_tree(flow)))
        case Picture.mermaid:
            emit(pictures.to_mermaid(flow))
        case Picture.svg:
            emit(pictures.to_svg(flow))
        case Picture.json:
            emit_json(graph.to_json(flow))
