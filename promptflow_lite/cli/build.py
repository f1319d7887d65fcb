"""`pf flow build`: a flow that leaves home, as the folder of an image or as a model of MLflow."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, neutral, overrides, say, say_safely
from promptflow_lite.cli.options import Source
from promptflow_lite.errors import UserError

app = Group("Make, check, try and look at flows.")


class Format(StrEnum):
    """What a flow is made into."""

    docker = "docker"
    mlflow = "mlflow"
    executable = "executable"


@app.command(
    "build",
    examples="""
    pf flow build --source flows/support --output dist
    pf flow build --source flows/support --output dist --variant '${answer.short}'
    pf flow build --source flows/support --format mlflow --register support --alias champion
    """,
)
def build(
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The folder to make; an earlier build there is replaced.", metavar="DIR"
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="docker: a folder to build an image of; mlflow: a model of MLflow."
        ),
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
    register: Annotated[
        str | None,
        typer.Option(
            "--register",
            help="With --format mlflow: register it under this name, where MLFLOW_TRACKING_URI says.",
            metavar="NAME",
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(
            "--alias", help="What the registered version is called, such as champion.", metavar="ALIAS"
        ),
    ] = None,
) -> None:
    """Pack a flow with all that serving it needs, and no secret.

    The flow is checked and copied, nothing of it is run. What to know goes to stderr, the folder's path, or
    the registered version's address, to stdout.
    """
    from promptflow_lite.connections.store import provider
    from promptflow_lite.flow.variants import parse_choice
    from promptflow_lite.packaging.formats import Asked, Pack
    from promptflow_lite.registry import Registry
    from promptflow_lite.serving.deployment import flow_of
    from promptflow_lite.settings import settings

    if format is Format.executable:
        raise UserError(
            "'--format executable' is not part of promptflow_lite",
            code="not-supported",
            hint="--format docker packs the flow with all its packages",
        )
    if alias is not None and register is None:
        raise UserError("--alias names a registered version: say --register NAME too", code="missing-option")
    pack: Pack = Registry("formats").get(format.value)
    built = pack(
        Asked(
            flow=flow_of(source.expanduser(), variants=dict([parse_choice(variant)]) if variant else {}),
            output=output.expanduser() if output else None,
            connections=provider(settings()),
            model=settings().model,
            variant=variant,
            overrides=overrides(connections) or {},
            wheel=wheel,
            register=register,
            alias=alias,
            say=say_safely,
        )
    )
    for note in built.notes:
        say_safely(f"note: {note}")
    say("\nnext:\n" + "\n".join(f"  {neutral(command)}" for command in built.next))
    emit(neutral(built.where))
