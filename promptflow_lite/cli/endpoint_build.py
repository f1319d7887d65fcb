"""`pf endpoint build`: an endpoint that leaves home, with the file that Compose or Kubernetes runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, neutral, say, say_safely

app = Group("Endpoints of several deployments: traffic, keys, calls.")


class Format(StrEnum):
    """What an endpoint is made into."""

    docker = "docker"
    compose = "compose"
    kubernetes = "kubernetes"


@app.command(
    "build",
    examples="""
    pf endpoint build --file endpoint.yml --output dist
    pf endpoint build --file endpoint.yml --output dist --format kubernetes --image example.com/bot:3
    """,
)
def build(
    file: Annotated[
        Path, typer.Option("--file", "-f", help="The endpoint.yml, with its deployments.", metavar="PATH")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The folder to make; an earlier build there is replaced.", metavar="DIR"
        ),
    ],
    format: Annotated[
        Format,
        typer.Option("--format", help="docker: the image's folder; the others add the file that runs it."),
    ] = Format.compose,
    image: Annotated[
        str | None,
        typer.Option("--image", help="What the image is called.  [default: the name]", metavar="NAME"),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option("--wheel", help="The wheel of promptflow_lite to take along.", metavar="FILE"),
    ] = None,
) -> None:
    """Pack an endpoint and its deployments into one image, with a file for Compose or Kubernetes.

    Flows are checked and copied, models fetched; nothing is run, and no secret goes along. The folder's path
    goes to stdout.
    """
    from promptflow_lite.connections.store import provider
    from promptflow_lite.packaging.endpoint import Options
    from promptflow_lite.packaging.endpoint import build as pack
    from promptflow_lite.settings import settings

    built = pack(
        file.expanduser(),
        Options(
            output=output.expanduser(),
            form=format.value,
            connections=provider(settings()),
            say=say_safely,
            image=image,
            model=settings().model,
            wheel=wheel,
        ),
    )
    for note in built.notes:
        say_safely(f"note: {note}")
    say("\nnext:\n" + "\n".join(f"  {neutral(command)}" for command in built.next))
    emit(neutral(built.where))
