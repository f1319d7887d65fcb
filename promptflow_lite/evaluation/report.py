"""Where is the page about these runs? One HTML file that opens offline, written for a run or a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptflow_lite.connections.store import provider
from promptflow_lite.errors import InputError
from promptflow_lite.evaluation.gate import Result
from promptflow_lite.evaluation.page import LINES, Shown, collect, document
from promptflow_lite.evaluation.scores import ScoredRun, read
from promptflow_lite.evaluation.side_by_side import SideBySide, side_by_side
from promptflow_lite.runs.redact import redactor
from promptflow_lite.runs.store import RunStore, write
from promptflow_lite.settings import settings

__all__ = ["LINES", "write_comparison", "write_report"]


def write_report(
    store: RunStore,
    names: Sequence[str],
    path: str | Path | None = None,
    *,
    limit: int = LINES,
    notes: Sequence[str] = (),
) -> Path:
    """Write the page of these runs; where it is.

    An evaluation of another of the runs is shown with that one. Several runs over the same data are compared
    with the first; where they do not pair, the page says why and shows them one beside the other.

    Args:
        store: where the runs are.
        names: of the runs, in the order of the page.
        path: the file; `None` is `report.html` in the folder of the last run.
        limit: how many lines the page has at most.
        notes: what else a reader must know.

    Raises:
        RunNotFound: no run has one of the names.
    """
    runs, shown_there = _without_evaluations([read(store, name) for name in dict.fromkeys(names)])
    told = [*notes, *shown_there]
    found = None
    if len(runs) > 1:
        try:
            found = side_by_side(runs)
        except InputError as error:
            told.append(f"Not compared: {error.message}.")
    return _write(store, Shown(runs, found, notes=told), path, limit)


def _without_evaluations(runs: Sequence[ScoredRun]) -> tuple[list[ScoredRun], list[str]]:
    """The runs but for those that evaluated another of them and are shown there; and what to say of it."""
    bases = {evaluation: one.run.name for one in runs for evaluation in one.evaluations}
    notes = [
        f"{one.run.name} evaluated {bases[one.run.name]}; its scores stand there."
        for one in runs
        if one.run.name in bases
    ]
    return [one for one in runs if one.run.name not in bases], notes


def write_comparison(
    store: RunStore,
    found: SideBySide,
    results: Sequence[Result],
    path: str | Path | None = None,
    *,
    limit: int = LINES,
) -> Path:
    """Write the page of a comparison with what came of its gate; where it is.

    Args:
        store: where the runs are.
        found: the comparison.
        results: of the gate's rules; none without a gate.
        path: the file; `None` is `report.html` in the folder of the last run.
        limit: how many lines the page has at most.
    """
    return _write(store, Shown([found.baseline, *found.candidates], found, results), path, limit)


def _write(store: RunStore, shown: Shown, path: str | Path | None, limit: int) -> Path:
    target = (
        Path(path).expanduser() if path is not None else store.folder(shown.runs[-1].run.name) / "report.html"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    redact = redactor(provider(settings()))  # a template, or a word of the author's, has passed no journal
    page = document(collect(store, shown, limit=limit), redact=redact)
    write(target, page.encode("utf-8", "replace"))
    return target.absolute()
