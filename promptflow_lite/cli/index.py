"""`pf index`: search indexes over your documents."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, progress, say

if TYPE_CHECKING:
    from promptflow_lite.cli.console import Progress
    from promptflow_lite.connections.base import ConnectionProvider
    from promptflow_lite.retrieval.build import Built
    from promptflow_lite.retrieval.document import Document

__all__ = ["OUTPUT", "Mode", "Output", "Stages", "Tokenizer", "app", "counted", "known_connections"]

app = Group("Search indexes over your documents.")


class Output(StrEnum):
    """How a result is written."""

    text = "text"
    json = "json"


class Mode(StrEnum):
    """How an index is searched."""

    hybrid = "hybrid"
    keyword = "keyword"
    vector = "vector"
    rrf = "rrf"


class Tokenizer(StrEnum):
    """How scripts without spaces are cut for keyword search."""

    ngrams = "ngrams"
    sudachi = "sudachi"


_PATH = typer.Argument(help="The index file.", metavar="PATH")
_MODE_HELP = (
    "hybrid: words and vectors, fused by score; rrf: the same two, by reciprocal rank fusion; "
    "keyword: BM25; vector: cosine."
)
OUTPUT = typer.Option("--output", "-o", help="json: the whole result.")


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
    result: Annotated[Output, typer.Option("--result", help="json: what was done, as JSON.")] = Output.text,
) -> None:
    """Turn documents into an index that a retrieval node can search.

    Built again, it reads and embeds only what changed; cut short, it goes on where it was. Readers see the
    old index until the new one is whole.
    """
    import asyncio

    from promptflow_lite.errors import UserError
    from promptflow_lite.retrieval.build import build as build_index
    from promptflow_lite.retrieval.embed import Roles
    from promptflow_lite.tools.search import embedder_of

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


def _tell_built(path: Path, built: Built, result: Output) -> None:
    from dataclasses import asdict

    info = built.info
    if result is Output.json:
        did = {"read": built.read, "embedded": built.embedded, "seconds": round(built.seconds, 3)}
        emit_json({"path": str(path), **did, "index": asdict(info)})
        return
    say(
        f"{neutral(str(path))}: {counted(info.files, 'file')} ({built.read} read), "
        f"{counted(info.chunks, 'chunk')} ({built.embedded} embedded), {built.seconds:.1f} s"
    )


@app.command("update", examples="pf index update my_flow/manual.index")
def update(path: Annotated[Path, _PATH], output: Annotated[Output, OUTPUT] = Output.text) -> None:
    """Build an index again from the sources and with the settings that it was built of.

    Files that did not change are neither read nor embedded again; what is gone is removed.
    """
    import asyncio

    from promptflow_lite.retrieval.build import update as update_index
    from promptflow_lite.retrieval.index import Index
    from promptflow_lite.tools.search import embedder_of

    index = Index(path)
    index.close()
    info = index.info
    embedder = embedder_of(info.embedding, info.model, known_connections(), roles=info.roles)
    with Stages() as stages:
        built = asyncio.run(update_index(path, embedder=embedder, progress=stages.report))
    _tell_built(path, built, output)


@app.command(
    "push",
    examples="""
    pf index push my_flow/manual.index --to my_search --index manual
    pf index push my_flow/manual.index --to my_search --index manual-ja --analyzer ja.microsoft
    """,
)
def push(
    path: Annotated[Path, _PATH],
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
    output: Annotated[Output, OUTPUT] = Output.text,
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
    if output is Output.json:
        emit_json({"connection": to, "index": index, **pushed._asdict()})
    else:
        where = neutral(f"{to}/{index}")
        say(f"{where}: {counted(pushed.done, 'passage')} pushed, {pushed.removed} removed")
        for name, why in pushed.refused.items():
            say(neutral(f"{name}: refused: {why}"))
    if pushed.refused:
        raise typer.Exit(3)


@app.command("delete", examples="pf index delete my_flow/manual.index --yes")
def delete(
    path: Annotated[Path, _PATH],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Output, OUTPUT] = Output.text,
) -> None:
    """Delete an index, and what a build of it that was cut short left behind."""
    from promptflow_lite.errors import UserError
    from promptflow_lite.retrieval.build import delete as delete_index

    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"to delete {path} without being asked, say --yes", code="missing-option")
        typer.confirm(f"delete {neutral(str(path))}?", abort=True, err=True)
    delete_index(path)
    if output is Output.json:
        emit_json({"path": str(path), "deleted": True})
    else:
        say(f"{neutral(str(path))}: deleted")


@app.command(
    "search",
    examples="""
    pf index search my_flow/manual.index "How do I reset the lamp?"
    pf index search my_flow/manual.index "ランプを初期化するには" --mode keyword --top-k 5 --output json
    pf index search news.index "lamp" --filter lang=ja 'year={"min": 2024}' 'product=["lamp", "fan"]'
    """,
)
def search(
    path: Annotated[Path, _PATH],
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
    output: Annotated[Output, OUTPUT] = Output.text,
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
    if output is Output.json:
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


@app.command("show", examples="pf index show my_flow/manual.index")
def show(path: Annotated[Path, _PATH], output: Annotated[Output, OUTPUT] = Output.text) -> None:
    """Show what an index holds and how it was made."""
    from dataclasses import asdict

    from promptflow_lite.retrieval.index import Index

    index = Index(path)
    index.close()
    info = {**asdict(index.info), "bytes": path.stat().st_size}
    if output is Output.json:
        emit_json(info)
    else:
        info["sources"] = ", ".join(index.info.sources)
        emit("\n".join(f"{name:<10} {neutral(str(value))}" for name, value in info.items() if value != ""))


def known_connections() -> ConnectionProvider:
    """The connections of this home and of the environment."""
    from promptflow_lite.connections.store import provider
    from promptflow_lite.settings import settings

    return provider(settings())


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_LABELS = {
    "read": "files read",
    "embed": "chunks embedded",
    "index": "chunks cut into words",
    "write": "chunks written",
    "question": "questions embedded",
    "ask": "questions asked",
    "push": "passages pushed",
}


class Stages:
    """A progress bar for each stage of long work on an index."""

    def __init__(self) -> None:
        self._bars = ExitStack()
        self._stage = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._bars.close()
        if kind is KeyboardInterrupt and self._stage == "embed":
            say("stopped; what was embedded is kept, and the same command goes on from there")

    def report(self, stage: str, done: int, total: int) -> None:
        """Draw that `done` of `total` are done."""
        if self._bar is None or stage != self._stage:
            self._bars.close()
            self._bar = self._bars.enter_context(progress(_LABELS[stage], total))
            self._stage = stage
        self._bar.advance(done - self._bar.done)
