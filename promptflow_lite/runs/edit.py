"""How is a run that has ended changed? Its name for people, its tags; put away and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.runs import lock
from promptflow_lite.runs.run import Run
from promptflow_lite.runs.store import RunStore

__all__ = ["edit"]


def edit(
    store: RunStore,
    name: str,
    *,
    display_name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    archived: bool | None = None,
) -> Run:
    """The run with what is not `None` changed; tags are replaced.

    Raises:
        RunNotFound: no run has that name.
        UserError: a process executes it, and would write over the change (code `run-busy`).
    """
    run = store.load(name)
    with lock.hold(store.folder(name)):
        changes: dict[str, Any] = {
            "display_name": display_name,
            "description": description,
            "tags": dict(tags) if tags is not None else None,
            "archived": archived,
        }
        changed = run.model_copy(update={key: value for key, value in changes.items() if value is not None})
        store.save(changed)
    return changed
