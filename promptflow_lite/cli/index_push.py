"""`pf index push`: an index into a service."""

from __future__ import annotations

from typing import Annotated

import typer

from promptflow_lite.cli.console import Group, emit_json, neutral, say
from promptflow_lite.cli.indexing import IndexFile, Outputs, Stages, counted, known_connections
from promptflow_lite.cli.options import TextOutput

__all__ = ["app"]

app = Group("Search indexes over your documents.")


@app.command(
    "push",
    examples="""
    pf index push my_flow/manual.index --to my_search --index manual
    pf index push my_flow/manual.index --to my_search --index manual-ja --analyzer ja.microsoft
    """,
)
def push(
    path: IndexFile,
    to: Annotated[
        str, typer.Option("--to", help="A connection of type cognitive_search.", metavar="CONNECTION")
    ],
    index: Annotated[str, typer.Option("--index", help="The index's name there.", metavar="NAME")],
    analyzer: Annotated[
        str,
        typer.Option(
            "--analyzer", help="How it cuts text into words: en.microsoft, ja.microsoft ...", metavar="NAME"
        ),
    ] = "standard.lucene",
    output: Outputs = TextOutput.text,
) -> None:
    """Bring an index's passages and vectors to Azure AI Search, into an index made to match.

    Pushed again, it replaces what changed and removes what is gone. Exit code 3 if some were refused.
    """
    import asyncio

    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.tools.search import target_of

    connection = known_connections().get(to)
    push_index = target_of(connection)
    opened = Index(path)
    try:
        with Stages() as stages:
            pushed = asyncio.run(
                push_index(opened, connection, index, analyzer=analyzer, progress=stages.report)
            )
    finally:
        opened.close()
    if output is TextOutput.json:
        emit_json({"connection": to, "index": index, **pushed._asdict()})
    else:
        where = neutral(f"{to}/{index}")
        say(f"{where}: {counted(pushed.done, 'passage')} pushed, {pushed.removed} removed")
        for name, why in pushed.refused.items():
            say(neutral(f"{name}: refused: {why}"))
    if pushed.refused:
        raise typer.Exit(3)
