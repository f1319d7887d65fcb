"""`pf run`: look at runs: which there are, how one went, its lines, its metrics."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit_json, neutral, say, table, wants_json
from promptflow_lite.cli.names import run_names
from promptflow_lite.cli.options import Name, Named, Output, OutputOrJson, one_of

app = Group("Run flows over data, and look at what came of it.")


class Details(StrEnum):
    """How the lines of a run are written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


@app.command("list", examples="pf run list\npf run list --output json")
def list_(
    max_results: Annotated[int, typer.Option("--max-results", "-r", min=1, help="How many at most.")] = 50,
    all_results: Annotated[bool, typer.Option("--all-results", help="All of them.")] = False,
    archived_only: Annotated[
        bool, typer.Option("--archived-only", help="Only those that were put away.")
    ] = False,
    include_archived: Annotated[
        bool, typer.Option("--include-archived", help="Those that were put away too.")
    ] = False,
    output: OutputOrJson = None,
) -> None:
    """List the runs, the newest first, those of a sweep below it; those put away only if asked for."""
    from promptflow_lite.cli import showing
    from promptflow_lite.runs import family

    kept, complaints = showing.store().all()
    runs = family.in_order([run for run in kept if include_archived or run.archived == archived_only])
    for complaint in complaints:
        say(neutral(f"warning: {complaint}"))
    shown = runs if all_results else runs[:max_results]
    if wants_json(output):
        emit_json([showing.as_json(run, showing.store()) for run in shown])
    elif shown:
        known = {run.name for run in shown}
        table(showing.COLUMNS, [showing.row(run, is_below=run.parent in known) for run in shown])
    else:
        say("there are no runs yet; pf run create  makes one")
    if len(runs) > len(shown):
        say(f"{len(runs) - len(shown)} older runs are not shown; --all-results shows them")


@app.command("show", examples="pf run show base\npf run show base --output json")
def show(name: Name = None, named: Named = None, output: OutputOrJson = None) -> None:
    """Show a run: what was asked, how it went, its metrics, where everything is; a sweep with its runs."""
    from promptflow_lite.cli import showing, written

    run = showing.store().load(one_of(name, named))
    written.write(run, showing.store(), as_json=wants_json(output), whole=True)


@app.command(
    "show-details",
    examples="""
    pf run show-details base
    pf run show-details base --failed
    pf run show-details base --format jsonl --all-results > base.jsonl
    """,
)
def show_details(
    name: Name = None,
    named: Named = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only the lines that failed.")] = False,
    max_results: Annotated[int, typer.Option("--max-results", "-r", min=1, help="How many at most.")] = 100,
    all_results: Annotated[bool, typer.Option("--all-results", help="All of them.")] = False,
    format_: Annotated[
        Details | None,
        typer.Option("--format", "--output", "-o", help="jsonl: one record a line.  [default: table]"),
    ] = None,
) -> None:
    """Show the lines of a run: number, status, inputs, outputs, error."""
    from promptflow_lite.cli import showing

    details = showing.Details(
        showing.store(), one_of(name, named), failed=failed, limit=None if all_results else max_results
    )
    match format_:
        case Details.jsonl:
            details.emit_jsonl()
        case Details.json:
            emit_json(list(details))
        case _:
            details.emit_table()
    if details.left:
        say(f"{details.left} more lines are not shown; --all-results shows them")


@app.command(
    "show-metrics",
    examples="pf run show-metrics scores\n"
    "pf run show-metrics scores --output json\n"
    "pf run show-metrics zero_shot few_shot --metric accuracy macro_f1",
)
def show_metrics(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME ...",
            help="The run; several are shown side by side.",
            autocompletion=run_names,
            show_default=False,
        ),
    ] = None,
    named: Named = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="METRIC ...", help="Only these metrics.")
    ] = None,
    output: OutputOrJson = None,
) -> None:
    """Show the metrics of a run, or of several side by side; a sweep stands for its runs."""
    from promptflow_lite.cli import showing
    from promptflow_lite.runs import family

    asked = (
        names if names and len(names) > 1 and named is None else [one_of(names[0] if names else None, named)]
    )
    asked, notes = family.expanded(asked, showing.store())
    for note in notes:
        say(neutral(f"note: {note}"))
    found = showing.metrics([showing.store().load(name) for name in asked], metric)
    if output is Output.json or (len(asked) == 1 and wants_json(output)):
        emit_json(found if len(asked) > 1 else found[asked[0]])
    elif any(found.values()):
        rows = metric or dict.fromkeys(key for metrics in found.values() for key in metrics)
        columns = ("metric", *asked) if len(asked) > 1 else ("metric", "value")
        table(columns, [(key, *(showing.value(found[name].get(key, "")) for name in asked)) for key in rows])
    else:
        say(f"{', '.join(asked)}: no metrics; their flows have no aggregation node that logs one")
