"""`pf flow show`: what a flow looks like."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral
from promptflow_lite.cli.options import Source

app = Group("Make, check, try and look at flows.")


class Picture(StrEnum):
    """How `pf flow show` draws."""

    tree = "tree"
    mermaid = "mermaid"
    svg = "svg"
    json = "json"


@app.command(
    "show",
    examples="""
    pf flow show --source my_flow
    pf flow show --source my_flow --format mermaid
    pf flow show --source my_flow --format svg > my_flow.svg
    """,
)
def show(
    source: Source,
    picture: Annotated[Picture, typer.Option("--format", "-f", help="How to draw it.")] = Picture.tree,
) -> None:
    """Draw a flow: its inputs, its nodes in the order they can run, its outputs."""
    from promptflow_lite.flow import graph, pictures
    from promptflow_lite.flow.load import load_flow

    flow = load_flow(source)
    match picture:
        case Picture.tree:
            emit(neutral(pictures.to_tree(flow)))
        case Picture.mermaid:
            emit(pictures.to_mermaid(flow))
        case Picture.svg:
            emit(pictures.to_svg(flow))
        case Picture.json:
            emit_json(graph.to_json(flow))
