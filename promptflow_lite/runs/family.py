"""Which runs does a sweep have, and how do they stand together? Counts and costs of all, its status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import RunNotFound
from promptflow_lite.runs import lock
from promptflow_lite.runs.combinations import label
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.store import RunStore
from promptflow_lite.tools.scope import Usage

__all__ = ["delete", "expanded", "gathered", "in_order", "is_done", "members", "together", "usage_of"]


def members(parent: Run, store: RunStore) -> list[Run]:
    """The runs of a sweep that there are, in the order of its combinations; none of a plain run."""
    found: list[Run] = []
    for name in parent.children:
        try:
            found.append(store.load(name))
        except RunNotFound:  # not started yet, or deleted
            continue
    return found


def together(run: Run, store: RunStore) -> Run:
    """A sweep with what its runs came to by now; another run as it is."""
    return gathered(run, members(run, store)) if run.children else run


def gathered(parent: Run, runs: Sequence[Run]) -> Run:
    """A sweep with the counts, the tokens and the cost of `runs`, and Completed if they all are."""
    costs = [run.cost for run in runs if run.cost is not None]
    total = sum(run.lines.total for run in runs)
    changes = {
        "lines": LineCounts(
            total=max(total, parent.lines.total),
            completed=sum(run.lines.completed for run in runs),
            failed=sum(run.lines.failed for run in runs),
            skipped=sum(run.lines.skipped for run in runs),
        ),
        "failures": dict(_added(run.failures for run in runs).most_common()),
        "usage": dict(_added(run.usage for run in runs)),
        "cost": sum(costs) if costs else None,
        "prices": sorted({source for run in runs for source in run.prices}),
    }
    if parent.status not in (Status.Running, Status.NotStarted):
        changes |= _status(parent, runs)
    return parent.model_copy(update=changes)


def is_done(run: Run, *, retry_failed: bool = False) -> bool:
    """Whether a run of a sweep has nothing left to do."""
    return run.status is Status.Completed and not (retry_failed and run.lines.failed)


def expanded(names: Iterable[str], store: RunStore) -> tuple[list[str], list[str]]:
    """The runs that are meant: in the place of a sweep its Completed ones; and what to say with them.

    That is which others there are, and which combination a run is whose name does not say it.

    Raises:
        RunNotFound: no run has one of the names.
    """
    found: dict[str, None] = {}
    notes: list[str] = []
    for name in names:
        run = store.load(name)
        if not run.children:
            found[name] = None
            continue
        children = members(run, store)
        completed = [child.name for child in children if child.status is Status.Completed]
        found |= dict.fromkeys(completed)
        notes += [f"{child.name}: {label(child.choice)}" for child in children if _is_numbered(child)]
        left_out = [child for child in run.children if child not in completed]
        if left_out:
            notes.append(f"{name}: left out, as they are not Completed: {', '.join(left_out)}")
    return list(found), notes


def usage_of(run: Run) -> Usage:
    """What a run has taken of its models."""
    return Usage(
        run.usage.get("prompt_tokens", 0),
        run.usage.get("completion_tokens", 0),
        run.usage.get("calls", 0),
        cost=run.cost,
    )


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Runs as they were, each sweep with what its runs came to and followed by them."""
    by_name = {run.name: run for run in runs}
    found: list[Run] = []
    for run in runs:
        if run.children:
            children = [by_name[name] for name in run.children if name in by_name]
            found += [gathered(run, children), *children]
        elif run.parent not in by_name:
            found.append(run)
    return found


def delete(name: str, store: RunStore) -> list[str]:
    """Remove a run, or a sweep with all of its runs; the names of those that are gone.

    Raises:
        RunNotFound: no run has that name.
        UserError: a process executes one of them (code `run-busy`); none is gone then.
    """
    children = [run.name for run in members(store.load(name), store)]
    names = [*children, name]  # the sweep last: what is cut here can be deleted once more
    for one in names:
        with lock.hold(store.folder(one)):
            pass
    for one in names:
        store.delete(one)
    return names


def _status(parent: Run, runs: Sequence[Run]) -> dict[str, object]:
    """A run of the sweep may have been resumed, or deleted, by itself since."""
    if len(runs) == len(parent.children) and all(is_done(run) for run in runs):
        return {"status": Status.Completed, "error": None}
    if parent.status is not Status.Completed:
        return {}
    absent = sorted(set(parent.children) - {run.name for run in runs if is_done(run)})
    message = f"not Completed: {', '.join(absent)}; pf run resume {parent.name}  goes on"
    return {"status": Status.Failed, "error": {"code": "children-failed", "message": message}}


def _is_numbered(child: Run) -> bool:
    return child.name.removeprefix(f"{child.parent}-").isdigit()


def _added(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
