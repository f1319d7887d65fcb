"""`pf run compare`: which of several runs is better, and how sure that is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, neutral, say
from promptflow_lite.cli.names import run_names
from promptflow_lite.errors import UserError

app = Group("Run flows over data, and look at what came of it.")


class Comparing(StrEnum):
    """How a comparison is written."""

    table = "table"
    json = "json"
    markdown = "markdown"


@app.command(
    "compare",
    examples="""
    pf run compare zero_shot few_shot retrieved
    pf run compare sweep --metric accuracy
    pf run compare base candidate --metric f1 --margin f1=0.02 --lines 5
    pf run compare base candidate --gate gate.yaml --junit gate.xml --report report.html
    """,
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="BASELINE CANDIDATE ...",
            help="The runs; the first is the one that the others are held against.",
            autocompletion=run_names,
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="METRIC ...", help="Only these metrics.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=NUMBER ...", help="How much worse is still 'no worse', by metric."
        ),
    ] = None,
    lower_is_better: Annotated[
        list[str] | None,
        typer.Option("--lower-is-better", metavar="METRIC ...", help="Metrics of which less is more."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="INPUT", help="The input that tells items apart, not the line number."),
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", min=0, help="How many changed lines of each kind to show.")
    ] = 0,
    gate: Annotated[
        Path | None,
        typer.Option(
            "--gate", metavar="YAML", help="Rules that must hold; exit code 1 failed, 3 inconclusive."
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="XML", help="Where the gate's rules go as JUnit's test cases."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="HTML", help="Where a page goes that shows all of it, line by line."
        ),
    ] = None,
    output: Annotated[
        Comparing, typer.Option("--output", "-o", help="How the comparison is written.")
    ] = Comparing.table,
) -> int:
    """Compare runs over the same data: paired differences, how sure they are, which lines changed.

    A sweep stands for its runs.
    """
    from promptflow_lite.cli import comparing
    from promptflow_lite.cli.showing import store
    from promptflow_lite.runs import family

    if junit is not None and gate is None:
        raise UserError(
            "--junit writes the rules of a gate", code="bad-option", hint="--gate gate.yaml  names them"
        )
    runs, notes = family.expanded(names, store())
    for note in notes:
        say(neutral(f"note: {note}"))
    asked = comparing.Asked(
        runs,
        metrics=metric or (),
        margins=comparing.numbers(margin or ()),
        lower_is_better=lower_is_better or (),
        by=by,
        gate=gate,
        notes=notes,
    )
    return comparing.compare(asked, how=output.value, lines=lines, junit=junit, report=report)
