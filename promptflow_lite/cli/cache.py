"""`pf cache`: answers of models that are kept, so that they are not paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptflow_lite.cli.console import Group, emit, emit_json, neutral, say, table
from promptflow_lite.cli.options import Output, Outputs, PlainYes
from promptflow_lite.errors import UserError

if TYPE_CHECKING:
    from promptflow_lite.tools.cache import Cache

app = Group("Answers of models that are kept (pf run create --cache).")


_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@app.command("show", examples="pf cache show\npf cache show --output json")
def show(output: Outputs = Output.table) -> None:
    """Show what is kept: answers by endpoint and model, and the tokens that were not paid for again."""
    from promptflow_lite.cli.showing import when

    cache = _cache()
    totals = cache.totals()
    if output is Output.json:
        emit_json({"path": str(cache.path), "models": [asdict(total) for total in totals]})
        return
    if not totals:
        say(f"{cache.path} holds no answers; pf run create --cache, or PF_CACHE=on, keeps them")
        return
    table(
        ("endpoint", "model", "answers", "tokens", "given again", "tokens saved", "kB", "oldest", "newest"),
        [
            (
                neutral(total.endpoint),
                neutral(total.model),
                f"{total.answers:,}",
                f"{total.tokens:,}",
                f"{total.hits:,}",
                f"{total.tokens_saved:,}",
                f"{total.bytes / 1000:,.0f}",
                when(total.oldest),
                when(total.newest),
            )
            for total in totals
        ],
    )
    say(str(cache.path))


@app.command("clear", examples="pf cache clear --yes\npf cache clear --model gpt-4o --older-than 30d")
def clear(
    model: Annotated[str | None, typer.Option("--model", help="Only the answers of this model.")] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Only what is older: 90m, 12h, 30d, 8w."),
    ] = None,
    yes: PlainYes = False,
    output: Outputs = Output.table,
) -> None:
    """Forget answers: all of them, those of a model, or old ones."""
    cache, age_s = _cache(), _seconds(older_than)
    if not yes:
        what = f"answers of {model}" if model else "answers"
        typer.confirm(f"forget the {what} in {cache.path}?", abort=True, err=True)
    gone = cache.clear(model=model, older_than_s=age_s)
    if output is Output.json:
        emit_json({"cleared": gone})
    else:
        emit(f"{gone:,} answers forgotten")


@app.command("export", examples="pf cache export > answers.jsonl\npf cache export --file answers.jsonl")
def export(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="PATH", help="Where to; default: to stdout.")
    ] = None,
) -> None:
    """Write every answer as a line of JSON: key, endpoint, model, request, answer, when, how often given."""
    if file is None:
        for line in _lines(_cache()):
            emit(line)
        return
    with file.open("w", encoding="utf-8") as stream:
        count = 0
        for count, line in enumerate(_lines(_cache()), 1):  # noqa: B007  how many there were is said below
            stream.write(f"{line}\n")
    say(f"{count:,} answers written to {file}")


def _lines(cache: Cache) -> Iterator[str]:
    from promptflow_lite.runs.records import dumps

    for kept in cache.each():
        record: dict[str, Any] = asdict(kept)
        yield dumps(record).decode()


def _cache() -> Cache:
    from promptflow_lite.settings import settings
    from promptflow_lite.tools.cache import FILE, Cache

    return Cache(settings().cache / FILE)


def _seconds(age: str | None) -> float | None:
    if age is None:
        return None
    try:
        return float(age[:-1]) * _UNITS[age[-1:]]
    except (KeyError, ValueError):
        raise UserError(
            f"--older-than: expected an age such as 90m, 12h, 30d or 8w, got {age!r}", code="bad-option"
        ) from None
