"""`pf flow build`: a flow that leaves home, as the folder of an image or as a model of MLflow."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, neutral, overrides, say
from promptflow_lite.errors import UserError

app = Group("Make, check, try and look at flows.")


class Format(StrEnum):
    """What a flow is made into."""

    docker = "docker"
    executable = "executable"


@app.command(
    "build",
    examples="""
    pf flow build --source flows/support --output dist
    pf flow build --source flows/support --output dist --variant '${answer.short}'
    """,
)
def build(
    source: Annotated[
        Path, typer.Option("--source", "--flow", help="The flow's folder, or its file.", metavar="PATH")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The folder to make; an earlier build there is replaced.", metavar="DIR"
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option("--format", "-f", help="docker: a folder to build an image of.")
    ] = Format.docker,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            "-v",
            help="The variant that is served instead of the default.",
            metavar="'${NODE.ID}'",
        ),
    ] = None,
    connections: Annotated[
        list[str] | None,
        typer.Option(
            "--connections",
            help="What a node connects to instead, as in answer.connection=azure.",
            metavar="NODE.KEY=VALUE ...",
        ),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--wheel",
            help="The wheel of promptflow_lite to take along. Without it, the version of the package "
            "index, or a wheel that is built where it was not installed from there.",
            metavar="FILE",
        ),
    ] = None,
) -> int:
    """Pack a flow with all that serving it needs, and no secret.

    The flow is checked and copied, nothing of it is run. What to know goes to stderr, the folder's path to
    stdout.
    """
    from promptflow_lite.connections.store import provider
    from promptflow_lite.flow.variants import parse_choice
    from promptflow_lite.packaging import docker
    from promptflow_lite.serving.deployment import flow_of
    from promptflow_lite.settings import settings

    if format is Format.executable:
        raise UserError(
            "'--format executable' is not part of promptflow_lite",
            code="not-supported",
            hint="--format docker packs the flow with all its packages",
        )
    if output is None:
        raise UserError("which folder shall be made? Say --output DIR", code="missing-option")
    chosen = dict([parse_choice(variant)]) if variant else {}
    built = docker.build(
        flow_of(source.expanduser(), variants=chosen),
        output.expanduser(),
        connections=provider(settings()),
        model=settings().model,
        variant=variant,
        overrides=overrides(connections),
        wheel=wheel,
        say=lambda text: say(neutral(text)),
    )
    for note in built.notes:
        say(neutral(f"note: {note}"))
    about = built.about
    say(f"{about['packages']} packages, {about['bytes_of_packages'] / 1e6:.0f} MB as they are installed here")
    say(f"\nnext:\n  docker build --tag {about['name']} {output}")
    emit(str(output))
    return 0
