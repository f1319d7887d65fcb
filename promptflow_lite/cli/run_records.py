"""`pf run`: change what is said of a run, put it away, take it back, see it as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from promptflow_lite.cli.console import (
    Group,
    emit,
    emit_json,
    is_interactive,
    neutral,
    pairs,
    say,
    wants_json,
)
from promptflow_lite.cli.names import run_names
from promptflow_lite.cli.options import Name, Named, Output, OutputOrJson, Outputs, one_of
from promptflow_lite.errors import UserError, near_miss

app = Group("Run flows over data, and look at what came of it.")

_SETTABLE = ("display_name", "description", "tags")


@app.command(
    "update",
    examples="""
    pf run update base --set display_name='few-shot, v2' description='with the new labels'
    pf run update --name base --set tags.team=search tags.release=1.2
    """,
)
def update(
    name: Name = None,
    named: Named = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE ...", help="display_name, description, or a tag as in tags.team=a."
        ),
    ] = None,
    output: OutputOrJson = None,
) -> None:
    """Change what people read of a run: its name for people, its description, its tags."""
    from promptflow_lite.cli import showing

    name = one_of(name, named)
    given = pairs(set, "--set")
    if not given:
        raise UserError("what shall be changed?", code="bad-option", hint="--set display_name=TEXT")
    changes: dict[str, Any] = {}
    for key, value in given.items():
        head, dot, tag = key.partition(".")
        if dot and head == "tags":
            changes.setdefault("tags", dict(showing.store().load(name).tags))[tag] = value
        elif key in ("display_name", "description"):
            changes[key] = value
        else:
            hint = near_miss(key, _SETTABLE) or f"there are: {', '.join(_SETTABLE[:2])}, tags.NAME"
            raise UserError(f"--set: {key!r} of a run cannot be changed", code="bad-option", hint=hint)
    _edited(name, output, "changed", **changes)


@app.command("archive", examples="pf run archive base")
def archive(name: Name = None, named: Named = None, output: Outputs = Output.table) -> None:
    """Put a run away: lists leave it out; everything of it stays."""
    _edited(one_of(name, named), output, "put away; pf run restore takes it back", archived=True)


@app.command("restore", examples="pf run restore base")
def restore(name: Name = None, named: Named = None, output: Outputs = Output.table) -> None:
    """Take a run back that was put away."""
    _edited(one_of(name, named), output, "back", archived=False)


@app.command(
    "visualize",
    examples="""
    pf run visualize base
    pf run visualize zero_shot few_shot retrieved
    pf run visualize --names base,scores --html-path report.html
    """,
)
def visualize(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME ...",
            help="The runs; the first is the one that the others are held against.",
            autocompletion=run_names,
            show_default=False,
        ),
    ] = None,
    named: Annotated[
        str | None,
        typer.Option("--names", "-n", metavar="NAME,...", help="The runs, as Prompt flow has it."),
    ] = None,
    html_path: Annotated[
        Path | None,
        typer.Option("--html-path", metavar="FILE", help="Where the page is written; not opened then."),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", min=0, help="How many lines the page has at most.")] = 5000,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open it in the browser.")] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="table|json|FILE", help="How the result is written, or the page's file."
        ),
    ] = Output.table.value,
) -> None:
    """Write one HTML file about a run, or about several held against the first, and open it.

    Figures with their intervals, what changed, every line with its trace; a sweep stands for its runs. The
    file opens without a network; a page that is written where you say is not opened by itself.
    """
    from promptflow_lite.cli import showing
    from promptflow_lite.evaluation.report import write_report
    from promptflow_lite.runs import family

    asked = [*(names or ()), *(part.strip() for part in (named or "").split(",") if part.strip())]
    if not asked:
        raise UserError("which runs?", code="bad-option", hint="name them; pf run list  shows them")
    asked, notes = family.expanded(asked, showing.store())
    for note in notes:
        say(neutral(f"note: {note}"))
    if not asked:
        raise UserError("none of these runs is Completed", code="nothing-to-compare")
    if output not in set(Output):
        html_path = _one_file(Path(output), html_path)
    path = write_report(showing.store(), asked, html_path, limit=lines, notes=notes)
    if output == Output.json:
        emit_json({"runs": asked, "path": str(path)})
        return
    emit(str(path))
    if html_path is None and not no_open and is_interactive():
        import webbrowser

        webbrowser.open(path.as_uri())


def _one_file(output: Path, html_path: Path | None) -> Path:
    """The file that `--output` names.

    Raises:
        UserError: it is no page's name, or `--html-path` names another (code `bad-option`).
    """
    if output.suffix.casefold() not in (".html", ".htm"):
        raise UserError(
            f"--output: expected table, json, or a file that ends in .html, got {str(output)!r}",
            code="bad-option",
        )
    if html_path is not None:
        raise UserError("--output and --html-path both name a file", code="bad-option")
    return output


def take_over(
    source: Path, name: str | None, display_name: str | None, tags: list[str] | None, output: Output
) -> int:
    """Keep the run of a folder from elsewhere; the exit code."""
    from promptflow_lite.cli import showing
    from promptflow_lite.runs import taken

    store = showing.store()
    said = {"display_name": display_name, "tags": pairs(tags, "--tags") or None}
    run = taken.take_over(source, store, name=name, **said)
    if output is Output.json:
        emit_json(showing.as_json(run, store))
    else:
        emit(showing.text(run, store))
    return 0


def _edited(name: str, output: Output | None, did: str, **changes: Any) -> None:
    from promptflow_lite.cli import showing, written
    from promptflow_lite.runs import family
    from promptflow_lite.runs.edit import edit

    run = edit(showing.store(), name, **changes)
    if "archived" in changes:
        for child in family.members(run, showing.store()):
            edit(showing.store(), child.name, archived=changes["archived"])
    if wants_json(output):
        emit_json(written.record(run, showing.store()))
    else:
        say(f"run {name!r}: {did}")
