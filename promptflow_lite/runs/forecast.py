"""What will a sweep ask and cost, and can each of its runs start? Bound and estimated; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import InputError, UserError
from promptflow_lite.runs.combinations import label, shared_nodes
from promptflow_lite.runs.estimate import Estimate, Estimated, Range, estimate
from promptflow_lite.runs.prepare import Prepared, prepare
from promptflow_lite.runs.prices import Prices
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore
from promptflow_lite.settings import settings
from promptflow_lite.tools.bind import bind, close

__all__ = ["Forecast", "forecast"]

_LOOKED_AT = 5_000
"""Lines that are rendered at most, all runs of the sweep together."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sweep will ask."""

    runs: dict[str, Estimated]
    """By the run's name."""
    lines: int
    """Of all runs."""
    rows: int
    """With those that have nothing to run."""
    total: Estimate
    notes: tuple[str, ...]
    fingerprint: dict[str, str]
    """Of the flow and the data, which all runs have in common."""


async def forecast(
    parent: Run,
    children: Sequence[Run],
    *,
    store: RunStore,
    connections: ConnectionProvider,
) -> Forecast:
    """Look at every run of a sweep: read it, bind it, and say what it would ask.

    What a run shares with an earlier one is counted once.

    Args:
        parent: the sweep.
        children: what each of its runs asks for.
        store: where runs are kept.
        connections: what their nodes may use.

    Raises:
        UserError: what is wrong with them, all of it.
    """
    prices = Prices.of(settings())
    found: dict[str, Estimated] = {}
    notes: dict[str, None] = {}
    wrong: dict[str, list[str]] = {}
    first: UserError | None = None
    asked: set[tuple[str, str]] = set()
    fingerprint: dict[str, str] = {}
    rows = 0
    for child in children:
        try:
            prepared = prepare(child, store)
            shared = _shared(prepared, parent)
            known = [node for node, choices in shared.items() if (node, choices) in asked]
            found[child.name] = await _estimated(prepared, connections, prices, known, len(children))
        except UserError as error:
            first = first or error
            wrong.setdefault(str(error), []).append(label(child.choice))
            continue
        asked |= set(shared.items())
        rows += len(prepared.lines) + len(prepared.skipped)
        fingerprint = {
            part: text for part, text in prepared.run.fingerprint.items() if part in ("flow", "data")
        }
        notes |= dict.fromkeys(found[child.name].notes)
    if first is not None:
        raise _refusal(first, wrong, len(children))
    total = Estimate()
    for one in found.values():
        _add(total, one.total)
    return Forecast(found, sum(one.lines for one in found.values()), rows, total, tuple(notes), fingerprint)


def _refusal(first: UserError, wrong: dict[str, list[str]], count: int) -> UserError:
    """The one complaint that all runs share, or each with the combinations it is about."""
    if len(wrong) == 1 and len(next(iter(wrong.values()))) == count:
        return first
    texts = [f"{'; '.join(labels)}:\n  {text}" for text, labels in wrong.items()]
    return InputError("\n".join(texts), code="bad-matrix")


def _shared(prepared: Prepared, parent: Run) -> dict[str, str]:
    if prepared.run.cache is False:
        return {}
    return shared_nodes(prepared.flow, prepared.run.choice, parent.matrix)


async def _estimated(
    prepared: Prepared, connections: ConnectionProvider, prices: Prices, known: Sequence[str], runs: int
) -> Estimated:
    bound = bind(prepared.flow, connections, overrides=prepared.run.connections)
    count = len(prepared.lines)
    most = max(100, _LOOKED_AT // runs)
    try:
        if count <= most:
            return estimate(bound, prepared.lines, prices, kept=known, mode=prepared.mode)
        step = -(-count // most)
        found = estimate(bound, islice(prepared.lines, 0, None, step), prices, kept=known, mode=prepared.mode)
    finally:
        await close(bound)
    return _scaled(found, count)


def _scaled(found: Estimated, count: int) -> Estimated:
    """What was found for some of the lines, for all of them."""
    factor = count / found.lines
    for one in (*found.nodes.values(), found.total):
        for part in (one.calls, one.prompt_tokens, one.completion_tokens, one.cost):
            if part is not None:
                part.low, part.high = part.low * factor, part.high * factor
    note = f"estimated from {found.lines:,} of {count:,} lines"
    return Estimated(count, found.nodes, found.total, (*found.notes, note))


def _add(total: Estimate, one: Estimate) -> None:
    for part in ("calls", "prompt_tokens", "completion_tokens"):
        getattr(total, part).add(getattr(one, part).low, getattr(one, part).high)
    if one.cost is not None:
        total.cost = total.cost or Range()
        total.cost.add(one.cost.low, one.cost.high)
