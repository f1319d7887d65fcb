"""`pf index evaluate`: which settings of an index find best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit_json, neutral, say, table
from promptflow_lite.cli.indexing import Mode, Outputs, Stages, Tokenizer, counted, known_connections
from promptflow_lite.cli.options import TextOutput

app = Group("Search indexes over your documents.")


@app.command(
    "evaluate",
    examples="""
    pf index evaluate my_flow/manual.index --questions questions.jsonl
    pf index evaluate my_flow/manual.index --questions questions.jsonl --mode keyword hybrid --top-k 3 5 10
    pf index evaluate manual/ --questions questions.jsonl --chunk-size 100 300 --overlap 0 40 --output json
    pf index evaluate manual/ --questions questions.jsonl --embedding local my_openai/text-embedding-3-small
    """,
)
def evaluate(
    source: Annotated[str, typer.Argument(help="An index, or what to build one of.", metavar="INDEX|SOURCE")],
    questions: Annotated[
        Path,
        typer.Option("--questions", help="JSON Lines of question and passages.", metavar="FILE"),
    ],
    mode: Annotated[list[Mode] | None, typer.Option("--mode", help="How to search; all unless told.")] = None,
    top_k: Annotated[
        list[int] | None,
        typer.Option("--top-k", help="Where to take recall, hit and precision; 1, 5 and 10 unless told."),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option("--chunk-size", help="Build with these sizes instead of the index's."),
    ] = None,
    overlap: Annotated[
        list[int] | None,
        typer.Option("--overlap", help="Build with these overlaps instead of the index's."),
    ] = None,
    tokenizer: Annotated[
        list[Tokenizer] | None,
        typer.Option("--tokenizer", help="Build with these instead of the index's."),
    ] = None,
    embedding: Annotated[
        list[str] | None,
        typer.Option(
            "--embedding",
            help="Build with these instead of the index's: local, or a connection.",
            metavar="NAME[/MODEL] ...",
        ),
    ] = None,
    diversity: Annotated[
        list[float] | None, typer.Option("--diversity", help="From 0, best first, to 1.", min=0, max=1)
    ] = None,
    output: Outputs = TextOutput.text,
) -> None:
    """Score what an index finds for questions whose right passages are known.

    Every combination of the values given is a row, the best nDCG@10 first. Indexes that must be built for it
    are thrown away after.
    """
    import asyncio

    from promptflow_lite.cli.tuning import Grid, sweep
    from promptflow_lite.errors import UserError
    from promptflow_lite.evaluation.search import read_questions

    cutoffs = sorted(set(top_k or (1, 5, 10)))
    if cutoffs[0] < 1 or min(size or [1]) < 1 or min(overlap or [0]) < 0:
        raise UserError(
            "expected --top-k and --chunk-size above 0, --overlap not below it", code="bad-option"
        )
    grid = Grid(
        modes=[chosen.value for chosen in mode or Mode],
        cutoffs=cutoffs,
        sizes=size or (),
        overlaps=overlap or (),
        tokenizers=[chosen.value for chosen in tokenizer or ()],
        embeddings=embedding or (),
        diversities=diversity or (0.0,),
    )
    with Stages() as stages:
        rows = asyncio.run(
            sweep(
                source,
                read_questions(questions),
                grid,
                connections=known_connections(),
                progress=stages.report,
            )
        )
    rows.sort(key=lambda row: -row["ndcg@10"])
    if output is TextOutput.json:
        emit_json(rows)
    else:
        settings = ("chunk_size", "overlap", "tokenizer", "embedding", "diversity")
        same = {name for name in settings if len({row[name] for row in rows}) == 1}
        others = ("questions", "hit@", "precision@")
        shown = [key for key in rows[0] if key not in same and not key.startswith(others)]
        shown = [key for key in shown if key != "mrr@10_interval"]
        table([key.replace("ndcg@10_interval", "(95 %)") for key in shown], _cells(rows, shown))
        fixed = ", ".join(f"{name} {rows[0][name]}" for name in settings if name in same)
        say(neutral(f"{counted(rows[0]['questions'], 'question')}; {fixed}"))


def _cells(rows: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> list[list[str]]:
    return [[_figure(row[key]) for key in shown] for row in rows]


def _figure(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(f"{end:.4f}" for end in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
