"""What do the commands of `pf index` share? Their options, connections and progress."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptflow_lite.cli.console import progress, say
from promptflow_lite.cli.options import TextOutput

if TYPE_CHECKING:
    from promptflow_lite.cli.console import Progress
    from promptflow_lite.connections.base import ConnectionProvider

__all__ = ["IndexFile", "Mode", "Outputs", "Stages", "Tokenizer", "counted", "known_connections"]


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


IndexFile = Annotated[Path, typer.Argument(help="The index file.", metavar="PATH")]
Outputs = Annotated[TextOutput, typer.Option("--output", "-o", help="json: the whole result.")]


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
