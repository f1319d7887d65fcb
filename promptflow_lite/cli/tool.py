"""`pf tool`: tools of packages and of flows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, pairs, say, table
from promptflow_lite.cli.options import Output, Outputs
from promptflow_lite.errors import UserError

app = Group("Tools of packages and of flows: make, list and check them.")


@app.command(
    "init",
    examples="""
    pf tool init --package my_tools --tool shout
    pf tool init --package my_tools --tool shout --set icon=shout.png category=text
    pf tool init --tool shout
    """,
)
def init(
    tool: Annotated[str, typer.Option("--tool", help="The tool's name, that of its function.")],
    package: Annotated[
        str | None, typer.Option("--package", help="Make, or add to, a package of that name.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE ...", help="What the tool says of itself: icon=, category=."
        ),
    ] = None,
) -> None:
    """Make a tool: a script here, or a package with a test that can be installed."""
    from promptflow_lite.cli.tool_scaffold import create_package, create_script

    facts = pairs(set, "--set")
    written = create_script(Path(), tool, facts) if package is None else create_package(package, tool, facts)
    for file in written:
        say(f"wrote {file}")
    if package is not None:
        say(f"\nnext:\n  pip install -e ./{package}\n  pf tool list\n  python -m pytest {package}")


@app.command("list", examples="pf tool list\npf tool list --flow my_flow --output json")
def list_(
    flow: Annotated[
        Path | None, typer.Option("--flow", metavar="PATH", help="The tools of this flow's scripts too.")
    ] = None,
    output: Outputs = Output.table,
) -> None:
    """List the tools of installed packages and of this house, with what they say of their inputs."""
    from promptflow_lite.tools.inventory import of_flow, of_packages

    found = of_packages()
    found |= of_flow(flow) if flow is not None else {}
    if output is Output.json:
        emit_json(found)
        return
    rows = [
        (tool_id, about["type"], about.get("package", ""), ", ".join(about.get("inputs", {})))
        for tool_id, about in found.items()
    ]
    table(("tool", "type", "package", "inputs"), rows)


@app.command(
    "validate",
    examples="""
    pf tool validate --source my_tools
    pf tool validate --source my_tools.shout.shout
    pf tool validate --source my_flow/shout.py
    """,
)
def validate(
    source: Annotated[
        str,
        typer.Option("--source", metavar="NAME", help="A package, package.module.function, or a script."),
    ],
    output: Outputs = Output.table,
) -> int:
    """Check tools: they can be imported and called, and what they say of their inputs is true.

    The tools are imported. Exit code 0: no error; 2: at least one.
    """
    from promptflow_lite.tools.inventory import validated

    checked, complaints = validated(source)
    if not checked and not complaints:
        raise UserError(f"{source}: there is no tool in it", code="no-tool")
    if output is Output.json:
        emit_json({"tools": checked, "errors": complaints})
    else:
        for name, message in complaints:
            emit(f"{name}: {message}")
        emit(f"{source}: {len(checked)} tools, {len(complaints) or 'no'} errors")
    return 2 if complaints else 0
