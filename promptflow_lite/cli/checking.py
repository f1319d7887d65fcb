"""What is wrong with a flow's files? All complaints of reading, of the models and of the checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.cli.console import neutral
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from promptflow_lite.settings import settings

__all__ = ["as_json", "complaints_of", "text_of"]


def complaints_of(source: Path) -> list[Diagnostic]:
    """Every complaint about the flow at `source`, in the order of the file."""
    try:
        return check(load_flow(source), provider(settings()).names())
    except FlowError as error:
        return list(error.diagnostics)


def text_of(source: Path, complaints: Sequence[Diagnostic]) -> str:
    """The complaints for people, and how many there are."""
    errors = sum(complaint.severity == "error" for complaint in complaints)
    warnings = len(complaints) - errors
    count = ", ".join(
        f"{number} {word}{'s' * (number != 1)}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    )
    return "\n".join(
        [*(neutral(complaint.render()) for complaint in complaints), f"{source}: {count or 'no complaints'}"]
    )


def as_json(complaint: Diagnostic) -> dict[str, Any]:
    """A complaint as plain data."""
    mark = complaint.mark
    place = {"file": mark.file, "line": mark.line, "column": mark.column, "key": mark.key} if mark else {}
    return {
        "code": complaint.code,
        "severity": complaint.severity,
        "message": complaint.message,
        "hint": complaint.hint,
        **place,
    }
