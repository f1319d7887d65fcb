"""`pf eval`: evaluators by name, and how far a judge among them agrees with people."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, say, table
from promptflow_lite.cli.names import run_names
from promptflow_lite.errors import InputError, UserError, near_miss

if TYPE_CHECKING:
    from promptflow_lite.evaluation.calibration import Calibration

app = Group("Evaluators: those that there are, and how far a judge can be trusted.")


class Output(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"


class Difference(StrEnum):
    """What the difference of two ratings is."""

    nominal = "nominal"
    ordinal = "ordinal"
    interval = "interval"


_Out = Annotated[Output, typer.Option("--output", "-o", help="How the result is written.")]


@app.command("list", examples="pf eval list\npf eval list --output json")
def list_evaluators(output: _Out = Output.table) -> None:
    """List the evaluators that answer to a name, with what they take."""
    from promptflow_lite.evaluation.evaluators import find, names
    from promptflow_lite.flow.load import load_flow

    found: list[dict[str, Any]] = []
    for name in names():
        flow = load_flow(find(name))
        found.append(
            {
                "name": name,
                "judge": any(node.type == "llm" for node in flow.nodes),
                "inputs": list(flow.inputs),
                "outputs": list(flow.outputs),
                "description": flow.description or "",
                "path": str(find(name)),
            }
        )
    if output is Output.json:
        emit_json(found)
        return
    rows = [
        (e["name"], "a model" if e["judge"] else "", ", ".join(e["inputs"]), e["description"]) for e in found
    ]
    table(("name", "judged by", "inputs", "what it says"), rows)
    say("pf run create --flow evaluator:NAME --run RUN scores a run; pf eval copy NAME FOLDER makes it yours")


@app.command("copy", examples="pf eval copy groundedness my_judge")
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The evaluator.", show_default=False)],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A new folder, for a copy to change.", show_default=False)
    ],
) -> None:
    """Copy an evaluator into a folder of your own, to change its prompt or its figures."""
    import shutil

    from promptflow_lite.evaluation.evaluators import find

    source = find(name)
    if folder.exists():
        raise UserError(f"{folder} exists already", code="file-exists")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    emit(f"{folder}")
    say(f"pf run create --flow {neutral(str(folder))} --run RUN scores a run with it")


@app.command(
    "calibrate",
    examples="""
    pf eval calibrate --run judged --labels people.jsonl --label grade
    pf eval calibrate --run judged --label grounded --at-least 4
    pf eval calibrate --run judged --labels people.jsonl --label ann bob --by id --output json
    """,
)
def calibrate(
    run: Annotated[
        str,
        typer.Option(
            "--run", metavar="NAME", help="The judge's run.", autocompletion=run_names, show_default=False
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="People's labels.  [default: the data of the run]"),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="COLUMN", help="The column of labels; of several people, all of theirs."
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="OUTPUT", help="The judge's output.  [default: its only one]"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="COLUMN", help="The input that names an item.  [default: its line number]"
        ),
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option("--at-least", metavar="SCORE", help="For labels of yes and no: what counts as a yes."),
    ] = None,
    level: Annotated[
        Difference | None,
        typer.Option("--level", help="What the difference of two ratings is.  [default: as they look]"),
    ] = None,
    output: _Out = Output.table,
) -> None:
    """Compare a judge's scores with the labels that people gave: agreement, kappa, alpha, confusion.

    The labels stay with the run, and are told where it was told: as what people said of its lines.
    """
    from promptflow_lite.cli import labelling
    from promptflow_lite.cli.showing import store
    from promptflow_lite.evaluation.calibration import calibrate as held_against
    from promptflow_lite.evaluation.calibration import score_of
    from promptflow_lite.evaluation.scores import read

    scored = read(store(), run, by=by)
    name = score_of(scored, score)
    file = labels or _data_of(run)
    given = _labels(file, label or [], by, name)
    people = {item: list(said.values()) for item, said in given.items()}
    found = held_against(scored, people, name, level=level.value if level else None, at_least=at_least)
    labelling.keep(scored, name, given, store())
    if output is Output.json:
        emit_json({"run": run, "labels": str(file), **_plain(found)})
        return
    _show(found)


def _plain(found: Calibration) -> dict[str, Any]:
    record = asdict(found)
    for key in ("agreement", "bias", "alpha"):
        estimate = getattr(found, key)
        record[key] = (
            None
            if estimate is None
            else {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        )
    return record


def _data_of(name: str) -> Path:
    """The data of a run, or of the run it builds on."""
    from promptflow_lite.cli.showing import store

    run = store().load(name)
    while run.data is None and run.run is not None:
        run = store().load(run.run)
    if run.data is None:
        raise InputError(
            f"run {name!r} has no data of its own", code="bad-option", hint="--labels names a file"
        )
    return Path(run.data)


def _labels(file: Path, columns: list[str], by: str | None, score: str) -> dict[Hashable, dict[str, Any]]:
    """By item, the labels by column; those that are empty are left out."""
    from promptflow_lite.runs.data import read

    data = read(file)
    if not columns:
        columns = [name for name in (score, "label") if name in data.columns][:1]
    for column in columns or ["label"]:
        if column not in data.columns:
            raise InputError(
                f"{file}: no row has a column {column!r}; there are: {', '.join(data.columns)}",
                code="missing-column",
                hint=near_miss(column, data.columns) or "--label names the column of labels",
            )
    if by is not None and by not in data.columns:
        raise InputError(f"{file}: no row has a column {by!r}, which --by names", code="missing-column")
    found: dict[Hashable, dict[str, Any]] = {}
    for row in data.rows():
        item = row.number if by is None else row.row.get(by)
        if item in found:
            raise InputError(f"{row.place}: a second row for the item {item!r}", code="duplicate-id")
        values = {column: row.row.get(column) for column in columns}
        found[item] = {name: value for name, value in values.items() if value is not None and value != ""}
    return found


def _show(found: Calibration) -> None:
    rows: list[tuple[str, str, str]] = [
        ("agreement", _estimate(found.agreement), "the share of items where both say the same"),
        ("within one", _figure(found.within_one), "or are at most 1 apart"),
        ("bias", _estimate(found.bias), "the judge's mean less that of people"),
        ("kappa", _figure(found.kappa), "Cohen's: agreement beyond chance"),
        ("kappa, linear", _figure(found.kappa_linear), "a far miss costs more than a near one"),
        ("kappa, quadratic", _figure(found.kappa_quadratic), "much more"),
        ("alpha", _estimate(found.alpha), f"Krippendorff's, {found.level}; below 0.667 rely on nothing"),
        ("alpha of people", _figure(found.people_alpha), "among themselves: what a judge can reach"),
    ]
    if found.repeats is not None:
        rows += [
            ("repeats", str(found.repeats.count), "how often the judge was asked"),
            ("variance", _figure(found.repeats.variance), "of its scores of one item, on average"),
            ("steady", _figure(found.repeats.steady), "the share of items that it always scored the same"),
            ("alpha of repeats", _figure(found.repeats.alpha), "the judge with itself"),
        ]
    emit(f"{neutral(found.score)}: {found.items:,} items")
    table(("figure", "value (95 %)", "what it is"), [row for row in rows if row[1]])
    emit("")
    judges = list(found.confusion)
    rows_of = [(person, *(str(line[judge]) for judge in judges)) for person, line in found.confusion.items()]
    table(("people \\ judge", *judges), rows_of)
    if found.unjudged:
        say(f"{found.unjudged:,} labelled items have no score: unreadable, failed or skipped")
    if found.unlabelled:
        say(f"{found.unlabelled:,} judged items have no label")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _estimate(estimate: Any) -> str:
    return "" if estimate is None else f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"
