"""`pf index search`: what an index finds, as a person looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral
from promptflow_lite.cli.indexing import IndexFile, Mode, Outputs, known_connections
from promptflow_lite.cli.options import TextOutput

if TYPE_CHECKING:
    from promptflow_lite.retrieval.document import Document

__all__ = ["app"]

app = Group("Search indexes over your documents.")
_MODE_HELP = (
    "hybrid: words and vectors, fused by score; rrf: the same two, by reciprocal rank fusion; "
    "keyword: BM25; vector: cosine."
)


@app.command(
    "search",
    examples="""
    pf index search my_flow/manual.index "How do I reset the lamp?"
    pf index search my_flow/manual.index "ランプを初期化するには" --mode keyword --top-k 5 --output json
    pf index search news.index "lamp" --filter lang=ja 'year={"min": 2024}' 'product=["lamp", "fan"]'
    """,
)
def search(
    path: IndexFile,
    query: Annotated[str, typer.Argument(help="What to look for.", metavar="QUERY")],
    mode: Annotated[Mode, typer.Option("--mode", help=_MODE_HELP)] = Mode.hybrid,
    top_k: Annotated[int, typer.Option("--top-k", help="How many passages at most.", min=1)] = 3,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="What metadata must be: a value, or JSON: a list to be one of, or min and max.",
            metavar="NAME=VALUE ...",
        ),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Leave out what scores less.", metavar="NUMBER")
    ] = None,
    diversity: Annotated[
        float,
        typer.Option("--diversity", help="From 0, best first, to 1, each unlike the others.", min=0, max=1),
    ] = 0.0,
    output: Outputs = TextOutput.text,
) -> None:
    """Show the passages that answer a query best, best first."""
    import asyncio

    from promptflow_lite.tools.search import open_index

    retriever = open_index(None, Path.cwd(), known_connections(), index=str(path.absolute()))
    try:
        found = asyncio.run(
            retriever.retrieve(
                query,
                top_k=top_k,
                mode=mode.value,
                filter=_wanted(filter),
                min_score=min_score,
                diversity=diversity,
            )
        )
    finally:
        retriever.close()
    if output is TextOutput.json:
        emit_json([document.to_json() for document in found])
    else:
        emit("\n\n".join(map(_shown, found)) or "nothing found")


def _wanted(filter: list[str] | None) -> dict[str, Any]:
    """The filter that `NAME=VALUE` texts write; what could be a number means the text and the number."""
    import json

    from promptflow_lite.cli.console import pairs

    wanted: dict[str, Any] = {}
    for name, text in pairs(filter, "--filter").items():
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        wanted[name] = value if isinstance(value, list | dict | str) else [text, value]
    return wanted


def _shown(document: Document) -> str:
    from promptflow_lite.retrieval.document import place_of

    metadata = document.metadata
    place = " > ".join(str(metadata[key]) for key in ("source", "heading") if metadata.get(key))
    at = ", ".join(filter(None, [place_of(metadata), f"characters {metadata['start']}-{metadata['end']}"]))
    head = f"{document.score:.3f}  {document.id}  ({place}, {at})"
    return neutral("\n".join([head, *(f"    {line}" for line in document.content.splitlines())]))
