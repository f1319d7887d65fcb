"""`pf run`: watch a run, stop it, delete it, tell the tracker of it."""

from __future__ import annotations

from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, say
from promptflow_lite.cli.names import run_names
from promptflow_lite.cli.options import LogFormat, Name, Named, NoTraces, Output, Outputs, ToldAs, Yes, one_of
from promptflow_lite.errors import UserError

app = Group("Run flows over data, and look at what came of it.")


@app.command("stream", examples="pf run stream base\npf run stream base --lines --log-format json")
def stream(
    name: Name = None,
    named: Named = None,
    lines: Annotated[bool, typer.Option("--lines", help="Say how each line ended.")] = False,
    log_format: ToldAs = LogFormat.text,
    output: Outputs = Output.table,
) -> int:
    """Watch a run that another process executes until it ends; for an ended one, show its log.

    Ctrl-C ends the watching, not the run. The exit code is the run's.
    """
    from promptflow_lite.cli.watching import watch

    return watch(
        one_of(name, named), as_json=output is Output.json, log_format=log_format.value, each_line=lines
    )


@app.command("cancel", examples="pf run cancel base")
def cancel(name: Name = None, named: Named = None, output: Outputs = Output.table) -> None:
    """Ask the process that executes a run to stop: lines in flight are finished, the rest can be resumed.

    It executes all runs of a sweep: to stop one of them stops the sweep.
    """
    from promptflow_lite.cli import showing, written
    from promptflow_lite.cli.watching import cancel as ask

    run = ask(one_of(name, named))
    if output is Output.json:
        emit_json(written.record(run, showing.store()))
    else:
        emit(f"{run.name} is {run.status}; pf run resume {run.name}  goes on")


@app.command("delete", examples="pf run delete base --yes")
def delete(
    name: Name = None,
    named: Named = None,
    yes: Yes = False,
    output: Outputs = Output.table,
) -> None:
    """Delete a run: its folder with its journal and results; a sweep with all its runs.

    What MLflow was told stays there.
    """
    from promptflow_lite.cli.showing import store
    from promptflow_lite.runs import family

    name = one_of(name, named)
    runs = len(family.members(store().load(name), store()))
    more = f" and its {runs} runs" if runs else ""
    if not yes:
        typer.confirm(f"delete {store().folder(name)}{more}?", abort=True, err=True)
    gone = family.delete(name, store())
    if output is Output.json:
        emit_json({"deleted": name, **({"runs": gone[:-1]} if gone[:-1] else {})})
    else:
        emit(f"deleted {name}{more}")


@app.command("sync", examples="pf run sync base\npf run sync --all")
def sync(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="The runs.", autocompletion=run_names, show_default=False),
    ] = None,
    named: Named = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every Completed run that MLflow was not told of.")
    ] = False,
    no_traces: NoTraces = False,
    output: Outputs = Output.table,
) -> int:
    """Tell MLflow of runs it does not know yet, because it was away or was not to be told.

    Telling twice changes nothing: what is there is left alone, and what is missing is added, traces and
    scores too.
    """
    from promptflow_lite.cli.running import Session

    asked = [*(names or ()), *([named] if named else ())]
    if bool(asked) == every:
        raise UserError("name runs, or give --all", code="bad-option", hint="pf run list  shows them")
    session = Session(tracking=True, traces=not no_traces, as_json=output is Output.json)
    todo = session.untold() if every else asked
    if not todo:
        say("MLflow was told of every Completed run")
    return session.sync(todo)
