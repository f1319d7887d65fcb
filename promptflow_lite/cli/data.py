"""`pf data`: data sets of what callers asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group
from promptflow_lite.cli.options import TextOutput

app = Group("Data sets: made of the traffic of what is served.")


@app.command(
    "from-traffic",
    examples="""
    pf data from-traffic --endpoint support --output data.jsonl
    pf data from-traffic --endpoint support --deployment green --since 7d --with-feedback --output rated.jsonl
    pf data from-traffic --source kept/ --without email phone --output data.jsonl
    """,
)
def from_traffic(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", metavar="FILE")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="An endpoint of this home.", metavar="NAME")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", help="The folder of 'pf flow serve --collect'.", metavar="DIR"),
    ] = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", help="Only requests that it answered.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only later ones: 90m, 24h, 7d, or a date.", metavar="TIME"),
    ] = None,
    with_feedback: Annotated[
        bool, typer.Option("--with-feedback", help="Only requests of which somebody said how good it was.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Fields to remove, at any depth.", metavar="FIELD ..."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write over a file that is there.")] = False,
    summary: Annotated[
        TextOutput, typer.Option("--format", help="How the summary is written.")
    ] = TextOutput.text,
) -> int:
    """Make a data set of the requests that were kept, for the next evaluation.

    A line for each different request: the flow's inputs by name, outputs.NAME, request.id and the like,
    feedback.score and feedback.comment. Duplicates go, keys and passwords too; that is no anonymization:
    look at the data, and name fields about persons with --without. Exit code 3: no request is left.
    """
    from promptflow_lite.cli.traffic import Asked, make

    asked = Asked(
        output=output,
        endpoint=endpoint,
        source=source,
        deployment=deployment,
        since=since,
        with_feedback=with_feedback,
        without=without or (),
        overwrite=yes,
        as_json=summary is TextOutput.json,
    )
    return make(asked)
