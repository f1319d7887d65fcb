"""How does a person start a sweep? What its runs ask and cost is shown first."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict
from itertools import islice
from typing import Any

import typer

from promptflow_lite.cli.console import emit_json, neutral, say, table
from promptflow_lite.cli.estimating import row as estimate_row
from promptflow_lite.cli.running import Session
from promptflow_lite.connections.store import provider
from promptflow_lite.runs.combinations import label
from promptflow_lite.runs.forecast import Forecast, forecast
from promptflow_lite.runs.planning import Sweep, plan
from promptflow_lite.runs.run import Run
from promptflow_lite.settings import settings

__all__ = ["create"]

_SHOWN = 40
"""Combinations of the table that is shown before a sweep begins."""


def create(asked: Run, session: Session, *, only_estimate: bool, yes: bool, as_json: bool) -> int:
    """Say what a sweep asks and costs, and execute it; the exit code.

    On a terminal it is asked first whether to go on.
    """
    sweep = plan(asked, session.store)
    with contextlib.redirect_stdout(sys.stderr):  # what a user's module prints is no result of ours
        found = asyncio.run(
            forecast(sweep.parent, sweep.children, store=session.store, connections=provider(settings()))
        )
    if only_estimate and as_json:
        emit_json(_estimated(sweep, found))
        return 0
    if only_estimate:
        _show_forecast(sweep, found, aside=False)
        return 0
    if session.log_format == "json":
        _log_forecast(sweep, found, session)
    else:
        _show_forecast(sweep, found, aside=True)
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(f"start these {len(sweep.children)} runs?", default=True, abort=True, err=True)
    return session.sweep(sweep, found)


def _head(sweep: Sweep, found: Forecast) -> str:
    count = len(sweep.children)
    runs = f"{count} combinations" if count != 1 else "1 combination"
    return f"{sweep.parent.name}: {runs}, {found.lines:,} lines in all"


def _log_forecast(sweep: Sweep, found: Forecast, session: Session) -> None:
    """For programs that read what is told line by line."""
    names = ("calls", "tokens in", "tokens out", "cost")
    figures = zip(names, estimate_row("", found.total)[1:], strict=True)
    session.log("; ".join([_head(sweep, found), *(f"{name}: {text}" for name, text in figures if text)]))
    for note in found.notes:
        session.log(f"note: {note}")


def _show_forecast(sweep: Sweep, found: Forecast, *, aside: bool) -> None:
    count = len(sweep.children)
    say(neutral(f"{_head(sweep, found)}{'' if aside else '; nothing was sent'}"))
    rows = [
        (child.name, label(child.choice), f"{one.lines:,}", *estimate_row("", one.total)[1:])
        for child in islice(sweep.children, _SHOWN)
        for one in [found.runs[child.name]]
    ]
    if count > _SHOWN:
        rows.append((f"... and {count - _SHOWN} more", "", "", "", "", "", ""))
    rows.append(("all", "", f"{found.lines:,}", *estimate_row("", found.total)[1:]))
    table(("run", "combination", "lines", "calls", "tokens in", "tokens out", "cost"), rows, aside=aside)
    for note in found.notes:
        say(neutral(f"note: {note}"))


def _estimated(sweep: Sweep, found: Forecast) -> dict[str, Any]:
    runs = [
        {"name": child.name, "choice": child.choice, **asdict(found.runs[child.name])}
        for child in sweep.children
    ]
    return {
        "name": sweep.parent.name,
        "combinations": len(sweep.children),
        "lines": found.lines,
        "total": asdict(found.total),
        "runs": runs,
        "notes": found.notes,
    }
