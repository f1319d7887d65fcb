"""`pf config`: settings of this home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit_json, pairs, say
from promptflow_lite.errors import UserError

app = Group("Settings of this home: where runs are kept.")


@app.command(
    "set",
    examples="""
    pf config set run.output_path='${flow_directory}/.runs'
    pf config set run.output_path=/data/runs --path my_project
    """,
)
def set_(
    settings_: Annotated[list[str], typer.Argument(metavar="KEY=VALUE ...", help="What to set.")],
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="DIR", help="For work in this folder only.  [default: this home]"),
    ] = None,
) -> None:
    """Set run.output_path (where new runs are kept) or connection.provider.

    Runs that are kept elsewhere are found by their names all the same. A key of Prompt flow that means
    nothing here is refused by name.
    """
    from promptflow_lite import config
    from promptflow_lite.settings import settings

    changes = pairs(settings_, "pf config set")
    for key, value in changes.items():
        config.check(key, value)
    if path is not None and path.is_file():
        raise UserError(f"--path: {path} is a file", code="not-a-folder")
    say(f"set in {config.write(path or settings().home, changes)}")


@app.command("show", examples="pf config show")
def show() -> None:
    """Show the settings, those of the folder you are in over those of this home, as JSON."""
    from promptflow_lite import config
    from promptflow_lite.settings import settings

    found = config.read(settings().home, working=Path.cwd())
    for key in [key for key in found if key in config.WITHOUT_MEANING]:
        say(f"note: {key!r} means nothing here: {config.WITHOUT_MEANING[key]}")
    emit_json(found)
