"""`pf flow`: make a flow, check it, try it, look at it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, say

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


class Output(StrEnum):
    """How a result is written."""

    text = "text"
    json = "json"


_SOURCE = typer.Option("--source", "--flow", help="The flow's folder, or its file.", metavar="PATH")


@app.command(
    "init",
    examples="""
    pf flow init --flow my_flow
    pf flow init --flow my_chat --type chat
    """,
)
def init(
    flow: Annotated[Path, typer.Option("--flow", help="The folder to make.", metavar="DIR")],
    template: Annotated[Template, typer.Option("--type", help="What to start from.")] = Template.standard,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write over files that are there.")] = False,
) -> None:
    """Make a small flow that works at once: a folder to copy, read and change."""
    from promptflow_lite.cli.scaffold import create

    for file in create(flow, template.value, overwrite=yes):
        say(f"wrote {file}")
    say("\nnext:")
    say(f"  pf flow validate --source {flow}")
    say(f"  pf flow test --flow {flow}" + (" --interactive" if template is Template.chat else ""))
    say(f"  pf run create --flow {flow} --data {flow / 'data.jsonl'}")


@app.command("validate", examples="pf flow validate --source my_flow")
def validate(
    source: Annotated[Path, _SOURCE],
    output: Annotated[
        Output, typer.Option("--output", "-o", help="json: a list of complaints.")
    ] = Output.text,
) -> int:
    """Check a flow's files: every complaint at once, with its place.

    Nothing of the flow is run or imported. Exit code 0: no error (warnings do not count); 2: at least one
    error.
    """
    from promptflow_lite.cli.checking import as_json, complaints_of, text_of

    complaints = complaints_of(source)
    if output is Output.json:
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
    """,
)
def test(
    flow: Annotated[Path, typer.Option("--flow", help="The flow's folder, or its file.", metavar="PATH")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--inputs",
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
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="A variant to take instead of the default.", metavar="'${NODE.ID}'"),
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Chat with a chat flow.")] = False,
    connections: Annotated[
        list[str] | None,
        typer.Option(
            "--connections",
            help="What a node connects to instead, as in answer.connection=azure answer.deployment_name=gpt.",
            metavar="NODE.KEY=VALUE ...",
        ),
    ] = None,
    environment_variables: Annotated[
        list[str] | None,
        typer.Option(
            "--environment-variables",
            help="Variables for the flow's code, or a .env file.",
            metavar="NAME=VALUE ...",
        ),
    ] = None,
    output: Annotated[
        Output,
        typer.Option("--output", "-o", help="json: the whole record, with every node, not just the outputs."),
    ] = Output.text,
) -> int:
    """Run a flow once, or one of its nodes, or chat with it.

    The outputs go to stdout as JSON, everything else to stderr. Exit code 0: completed; 1: a node failed; 2:
    the flow or the inputs are wrong.
    """
    from promptflow_lite.cli.trying import Trial

    trial = Trial.of(
        flow, variant=variant, connections=connections, environment_variables=environment_variables
    )
    if interactive:
        from promptflow_lite.cli.chatting import converse

        return converse(trial, inputs)
    if node is not None:
        return trial.test_node(node, inputs, whole=output is Output.json)
    return trial.test_flow(inputs, whole=output is Output.json)


@app.command(
    "show",
    examples="""
    pf flow show --source my_flow
    pf flow show --source my_flow --format mermaid
    pf flow show --source my_flow --format svg > my_flow.svg
    """,
)
def show(
    source: Annotated[Path, _SOURCE],
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
