"""How is a run written as a result? As a page or as JSON; a sweep with its runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promptflow_lite.cli import showing
from promptflow_lite.cli.console import emit, emit_json, table
from promptflow_lite.runs.combinations import label
from promptflow_lite.runs.family import members, together
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore

__all__ = ["record", "write"]

_COLUMNS = ("run", "combination", "status", "lines", "failed", "seconds", "tokens", "cost", "metrics")


def write(run: Run, store: RunStore, *, as_json: bool, whole: bool = False) -> None:
    """Write a run to stdout; of a sweep also a table of its runs.

    Args:
        run: the run.
        store: where it is kept.
        as_json: as a record for programs.
        whole: say what was asked for too.
    """
    if as_json:
        emit_json(record(run, store))
        return
    run = together(run, store)
    emit(showing.text(run, store, whole=whole))
    if run.children:
        emit("")
        table(_COLUMNS, _rows(run, store))


def record(run: Run, store: RunStore) -> dict[str, Any]:
    """A run as a record for programs; a sweep has those of its runs under `runs`."""
    if not run.children:
        return showing.as_json(run, store)
    found = showing.as_json(together(run, store), store)
    folder = found["results"]["folder"]
    runs = [showing.as_json(child, store) for child in members(run, store)]
    return {**found, "results": {"folder": folder}, "runs": runs}


def _rows(parent: Run, store: RunStore) -> Iterator[tuple[object, ...]]:
    """The runs of a sweep, those too that were not started."""
    by_name = {run.name: run for run in members(parent, store)}
    for name in parent.children:
        run = by_name.get(name)
        if run is None:
            yield name, "", "not started", "", "", "", "", "", ""
            continue
        _, status, done, failed, seconds, _, metrics = showing.row(run)
        count = run.usage.get("total_tokens", 0)
        tokens = f"{count:,}" if count else ""
        cost = "" if run.cost is None else showing.dollars(run.cost)
        yield name, label(run.choice), status, done, failed, seconds, tokens, cost, metrics
