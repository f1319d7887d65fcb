"""What is wrong with a flow's files? All complaints of reading, of the models and of the checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from promptflow_lite.cli.console import neutral
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants
from promptflow_lite.settings import settings

__all__ = ["as_json", "complaints_of", "text_of"]


def complaints_of(source: Path) -> list[Diagnostic]:
    """Every complaint about the flow at `source`, under each of its variants, in the order of the file."""
    known = provider(settings()).names()
    found: dict[Diagnostic, None] = {}
    try:
        flow = load_flow(source)
        for choices in _choices(flow):
            found |= dict.fromkeys(check(choose_variants(flow, choices), known))
    except FlowError as error:
        found |= dict.fromkeys(error.diagnostics)
    return sorted(found, key=_place)


def _choices(flow: Flow) -> Iterator[dict[str, str]]:
    """The defaults, then each other variant by itself."""
    yield {}
    for node in flow.nodes:
        variants = flow.node_variants.get(node.name) if node.use_variants else None
        if variants is not None:
            yield from (
                {node.name: name} for name in variants.variants if name != variants.default_variant_id
            )


def _place(complaint: Diagnostic) -> tuple[str, int, int]:
    mark = complaint.mark
    return (mark.file, mark.line, mark.column) if mark else ("", 0, 0)


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
