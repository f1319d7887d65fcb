"""What does each run of a sweep ask for? A parent that says what is varied, and its combinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptflow_lite.engine.results import Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.load import load_flow
from promptflow_lite.runs.combinations import combinations, label, names_of, of_choice
from promptflow_lite.runs.family import members
from promptflow_lite.runs.matrix import BASE, checked
from promptflow_lite.runs.run import LineCounts, Run
from promptflow_lite.runs.store import RunStore, check_name

__all__ = ["Sweep", "children_of", "is_sweep", "plan"]


@dataclass(frozen=True)
class Sweep:
    """A parent, and what each of its runs asks for."""

    parent: Run
    """With the matrix written out and the names of its runs."""
    children: tuple[Run, ...]


def is_sweep(asked: Run, store: RunStore) -> bool:
    """Whether what is asked for is several runs: of a matrix, or building on each run of a sweep."""
    return bool(asked.matrix) or (asked.run is not None and bool(store.load(asked.run).children))


def plan(asked: Run, store: RunStore) -> Sweep:
    """The runs of a sweep that is asked for.

    Raises:
        UserError: the matrix is wrong (`bad-matrix`), a name is taken (`run-exists`), or the sweep that is
            scored has runs that were not started (`sweep-incomplete`).
    """
    flow = load_flow(asked.flow)
    matrix = checked(asked.matrix, flow, asked.variant)
    base = None if asked.run is None else store.load(asked.run)
    if base is not None and base.children:
        if BASE in matrix:
            raise InputError(f"matrix {BASE}: --run says which runs are scored", code="bad-matrix")
        there = {run.name for run in members(base, store)}
        absent = [name for name in base.children if name not in there]
        if absent:
            raise InputError(
                f"{base.name!r} has runs that were not started: {', '.join(absent)}",
                code="sweep-incomplete",
                hint=f"pf run resume {base.name}",
            )
        matrix = {BASE: list(base.children), **matrix}
    names = names_of(asked.name, combinations(matrix), asked.run if base and base.children else None)
    taken = [name for name in (asked.name, *names) if name in set(store.names())]
    if taken:
        raise InputError(
            f"runs of these names exist: {', '.join(taken)}",
            code="run-exists",
            hint=f"pf run resume {taken[0]}  goes on with it; or choose another --name",
        )
    for name in (asked.name, *names):
        check_name(name)
    parent = asked.model_copy(update={"matrix": matrix, "children": names})
    return Sweep(parent, children_of(parent))


def children_of(parent: Run) -> tuple[Run, ...]:
    """What each run asks for: nothing but what is asked, so that a sweep that was cut can make them anew."""
    nodes = [node.name for node in load_flow(parent.flow).nodes]
    common: dict[str, Any] = {
        "matrix": {},
        "children": [],
        "parent": parent.name,
        "description": None,
        "status": Status.NotStarted,
        "created": 0.0,
        "started": 0.0,
        "ended": None,
        "seconds": 0.0,
        "lines": LineCounts(),
        "failures": {},
        "usage": {},
        "cost": None,
        "prices": [],
        "fingerprint": {},
        "error": None,
        "pid": None,
        "tracking": {},
    }
    found: list[Run] = []
    for name, choice in zip(parent.children, combinations(parent.matrix), strict=True):
        said = f"{parent.display_name}: {label(choice)}" if parent.display_name else label(choice)
        own = {"name": name, "display_name": said, **of_choice(parent, choice, nodes)}
        found.append(parent.model_copy(update={**common, **own}))
    return tuple(found)
