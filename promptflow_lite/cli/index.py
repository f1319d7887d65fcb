"""`pf index`: search indexes over your documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, say, sure_to_delete
from promptflow_lite.cli.indexing import IndexFile, Outputs, Stages, Tokenizer, counted, known_connections
from promptflow_lite.cli.options import PlainYes, TextOutput

if TYPE_CHECKING:
    from promptflow_lite.retrieval.build import Built

__all__ = ["app"]

app = Group("Search indexes over your documents.")


@app.command(
    "build",
    examples="""
    pf index build manual/ --output my_flow/manual.index
    pf index build "docs/**/*.md" faq.jsonl --output my_flow/docs.index --chunk-size 200
    pf index build tickets.csv --output my_flow/tickets.index --text-column body
    pf index build manual/ --output my_flow/manual.index --embedding my_openai --model text-embedding-3-small
    """,
)
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or patterns of Markdown, text, HTML, PDF, DOCX, CSV or JSON Lines.",
            metavar="SOURCE ...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index file to write.", metavar="PATH")],
    embedding: Annotated[
        str, typer.Option("--embedding", help="local, or the connection that embeds.", metavar="NAME")
    ] = "local",
    model: Annotated[
        str, typer.Option("--model", help="The connection's embedding model.", metavar="NAME")
    ] = "",
    query_prefix: Annotated[
        str,
        typer.Option(
            "--query-prefix", help="What that model wants before a query, such as 'query: '.", metavar="TEXT"
        ),
    ] = "",
    passage_prefix: Annotated[
        str, typer.Option("--passage-prefix", help="What it wants before a passage.", metavar="TEXT")
    ] = "",
    size: Annotated[
        int, typer.Option("--chunk-size", help="Words of a chunk at most (characters in Japanese).", min=1)
    ] = 300,
    overlap: Annotated[
        int, typer.Option("--overlap", help="Words a chunk repeats of the one before it.", min=0)
    ] = 40,
    text_column: Annotated[
        str,
        typer.Option(
            "--text-column",
            help="The text of a CSV or JSON Lines row, if not content or text.",
            metavar="NAME",
        ),
    ] = "",
    tokenizer: Annotated[
        Tokenizer, typer.Option("--tokenizer", help="sudachi: also by the words of Japanese (extra ja).")
    ] = Tokenizer.ngrams,
    result: Annotated[
        TextOutput, typer.Option("--result", help="json: what was done, as JSON.")
    ] = TextOutput.text,
) -> None:
    """Turn documents into an index that a retrieval node can search.

    Built again, it reads and embeds only what changed; cut short, it goes on where it was. Readers see the
    old index until the new one is whole.
    """
    import asyncio

    from promptflow_lite.errors import UserError
    from promptflow_lite.retrieval.build import build as build_index
    from promptflow_lite.retrieval.embed import Roles
    from promptflow_lite.tools.embedders import embedder_of

    if overlap >= size:
        raise UserError(
            f"--overlap: expected less than --chunk-size {size}, got {overlap}", code="bad-option"
        )
    roles = Roles(query_prefix, passage_prefix)
    with Stages() as stages:
        built = asyncio.run(
            build_index(
                sources,
                output,
                embedder=embedder_of(embedding, model, known_connections(), roles=roles),
                embedding=embedding,
                model=model,
                roles=roles,
                size=size,
                overlap=overlap,
                text_column=text_column,
                tokenizer=tokenizer.value,
                progress=stages.report,
            )
        )
    _tell_built(output, built, result)


def _tell_built(path: Path, built: Built, result: TextOutput) -> None:
    from dataclasses import asdict

    info = built.info
    if result is TextOutput.json:
        did = {"read": built.read, "embedded": built.embedded, "seconds": round(built.seconds, 3)}
        emit_json({"path": str(path), **did, "index": asdict(info)})
        return
    say(
        f"{neutral(str(path))}: {counted(info.files, 'file')} ({built.read} read), "
        f"{counted(info.chunks, 'chunk')} ({built.embedded} embedded), {built.seconds:.1f} s"
    )


@app.command("update", examples="pf index update my_flow/manual.index")
def update(path: IndexFile, output: Outputs = TextOutput.text) -> None:
    """Build an index again from the sources and with the settings that it was built of.

    Files that did not change are neither read nor embedded again; what is gone is removed.
    """
    import asyncio

    from promptflow_lite.retrieval.build import update as update_index
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.tools.embedders import embedder_of

    index = Index(path)
    index.close()
    info = index.info
    embedder = embedder_of(info.embedding, info.model, known_connections(), roles=info.roles)
    with Stages() as stages:
        built = asyncio.run(update_index(path, embedder=embedder, progress=stages.report))
    _tell_built(path, built, output)


@app.command("delete", examples="pf index delete my_flow/manual.index --yes")
def delete(
    path: IndexFile,
    yes: PlainYes = False,
    output: Outputs = TextOutput.text,
) -> None:
    """Delete an index, and what a build of it that was cut short left behind."""
    from promptflow_lite.retrieval.build import delete as delete_index

    sure_to_delete(str(path), yes=yes)
    delete_index(path)
    if output is TextOutput.json:
        emit_json({"path": str(path), "deleted": True})
    else:
        say(f"{neutral(str(path))}: deleted")


@app.command("show", examples="pf index show my_flow/manual.index")
def show(path: IndexFile, output: Outputs = TextOutput.text) -> None:
    """Show what an index holds and how it was made."""
    from dataclasses import asdict

    from promptflow_lite.retrieval.index import Index

    index = Index(path)
    index.close()
    info = {**asdict(index.info), "bytes": path.stat().st_size}
    if output is TextOutput.json:
        emit_json(info)
    else:
        info["sources"] = ", ".join(index.info.sources)
        emit("\n".join(f"{name:<10} {neutral(str(value))}" for name, value in info.items() if value != ""))
