"""How is a failure shown? The node, the code, the user's own frames; nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable

from promptflow_lite.cli.console import neutral, paint, say
from promptflow_lite.engine.results import Failure
from promptflow_lite.errors import Diagnostic

__all__ = ["complain", "show_failure"]


def show_failure(failure: Failure) -> None:
    """Write a failure to stderr: where, what, and the frames of the user's code."""
    where = f"node {failure.node!r} failed" if failure.node else "failed"
    say(neutral(f"{where} [{failure.code}]: {failure.message}"))
    if failure.traceback:
        say(neutral(failure.traceback.rstrip("\n")))


def complain(diagnostics: Iterable[Diagnostic]) -> None:
    """Write complaints about files to stderr, each with its line and a caret."""
    for diagnostic in diagnostics:
        head, *rest = neutral(diagnostic.render()).split("\n")
        say("\n".join([paint(head, "red" if diagnostic.severity == "error" else "yellow"), *rest]))
