"""What would a run ask and cost? The estimate as a table, before anything is sent."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict

from promptflow_lite.cli.console import emit_json, neutral, say, table
from promptflow_lite.cli.showing import dollars
from promptflow_lite.connections.store import provider
from promptflow_lite.runs.estimate import Estimate, Estimated, Range, estimate
from promptflow_lite.runs.prepare import prepare
from promptflow_lite.runs.prices import Prices
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind, close

__all__ = ["row", "show"]


def show(asked: Run, store: RunStore, *, as_json: bool) -> int:
    """Say what a run would ask; the exit code.

    Raises:
        UserError: what is wrong with what is asked for, as a run would say it.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a user's module prints is no result of ours
        found = asyncio.run(_estimated(asked, store))
    if as_json:
        emit_json(asdict(found))
        return 0
    rows = [row(neutral(name), node) for name, node in found.nodes.items()]
    if len(rows) != 1:
        rows.append(row("all", found.total))
    say(f"{found.lines:,} lines; nothing was sent")
    table(("node (model)", "calls", "tokens in", "tokens out", "cost"), rows)
    for note in found.notes:
        say(neutral(f"note: {note}"))
    return 0


async def _estimated(asked: Run, store: RunStore) -> Estimated:
    prepared = prepare(asked, store)
    bound = bind(prepared.flow, provider(settings()), overrides=asked.connections)
    try:
        found = estimate(bound, prepared.lines, Prices.of(settings()), mode=prepared.mode)
    finally:
        await close(bound)
    return found


def row(name: str, node: Estimate) -> tuple[str, ...]:
    """A name, calls, tokens in and out, and the cost, each from at least to at most."""
    unknown = "?" if node.calls.high else ""
    cost = unknown if node.cost is None else _between(dollars(node.cost.low), dollars(node.cost.high))
    return name, _count(node.calls), _count(node.prompt_tokens), _count(node.completion_tokens), cost


def _count(found: Range) -> str:
    return _between(f"{found.low:,.0f}", f"{found.high:,.0f}")


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
