"""Who else is told of a run? Plugins of the group `listeners`; none of them can fail or hold up the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from promptflow_lite.engine.events import Log
from promptflow_lite.registry import Registry
from promptflow_lite.runs.events import RunEmit, RunEvent

__all__ = ["Listener", "heard"]


class Listener(Protocol):
    """Is told of what happens while a run is executed.

    An entry point of the group `promptflow_lite.listeners` names a function without parameters that gives a
    listener, or `None` if there is nothing to tell. `__call__` runs between the lines: it must not wait.
    """

    def __call__(self, event: RunEvent) -> None:
        """Take note of an event."""
        ...

    def close(self) -> str | None:
        """The run is over; gives what a person should know. May wait a few seconds at most."""
        ...


@contextmanager
def heard(emit: RunEmit) -> Iterator[RunEmit]:
    """`emit`, and every listener told too; one that raises is told nothing more."""
    listeners: dict[str, Listener] = {}

    def safely(name: str, act: Callable[[], object]) -> object:
        try:
            return act()
        except Exception as error:  # a plugin's: what watches a run must not end it
            listeners.pop(name, None)
            emit(Log(f"the listener {name!r} failed and is told nothing more: {error}", "warning"))
            return None

    registry = Registry("listeners")
    for name in registry.names():
        made = safely(name, lambda name=name: registry.get(name)())  # type: ignore[misc]  # one name each
        if made is not None:
            listeners[name] = made  # type: ignore[assignment]  # what the plugin says it is

    def tell(event: RunEvent) -> None:
        emit(event)
        for name, listener in list(listeners.items()):
            safely(name, lambda listener=listener: listener(event))  # type: ignore[misc]  # one each

    try:
        yield tell if listeners else emit
    finally:
        for name, listener in list(listeners.items()):
            said = safely(name, listener.close)
            if isinstance(said, str):
                emit(Log(said, "warning"))
