"""`pf flow`: make a flow, check it, try it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, pairs, say
from promptflow_lite.cli.options import Connections, EnvironmentVariables, Init, Source, TextOutput, Variant
from promptflow_lite.errors import UserError

app = Group("Make, check, try and look at flows.")


class Template(StrEnum):
    """What `pf flow init` can make."""

    standard = "standard"
    chat = "chat"
    evaluation = "evaluation"


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
