"""What do all callers of models on one event loop share? Pacers, a client, and who is told that they wait.

Apart from `wire`, so that a run which asks no model does not load what asks one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from promptflow_lite.tools.board import Board
from promptflow_lite.tools.pacing import Pacer, Throttled
from promptflow_lite.tools.patience import Patience

if TYPE_CHECKING:
    from wreq import Client

__all__ = ["Listener", "Shared", "listening", "shared_here", "tell"]

Listener = Callable[[Throttled], object]


@dataclass
class Shared:
    """What all callers of models on one event loop share."""

    pacers: dict[tuple[Any, ...], Pacer] = field(default_factory=dict)
    patiences: dict[tuple[Any, ...], Patience] = field(default_factory=dict)
    """How long answers are waited for, by the pacer's key and the node that asks."""
    under_way: dict[str, asyncio.Event] = field(default_factory=dict)
    """Requests whose answers will be kept: whoever asks the same meanwhile waits for them."""
    listeners: list[Listener] = field(default_factory=list)
    board: Board | None = None
    client: Client | None = None
    """Made when the first model is asked."""


# A client and its pacers belong to one event loop: kept by loop, and gone with it.
_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, Shared] = WeakKeyDictionary()


def shared_here() -> Shared:
    """What is shared on the running loop."""
    loop = asyncio.get_running_loop()
    shared = _SHARED.get(loop)
    if shared is None:
        shared = _SHARED[loop] = Shared()
    return shared


def tell(throttled: Throttled) -> None:
    """Pass on what a worker process has to say to those who listen on this event loop."""
    for listener in list(shared_here().listeners):
        listener(throttled)


@contextmanager
def listening(listener: Listener, *, board: str | None = None) -> Iterator[None]:
    """Be told when calls on this event loop have to wait; they then wait for as long as the endpoint asks.

    Args:
        listener: is told.
        board: the folder where the processes of a run share what they learn; `None`: this one is alone.
    """
    if board is not None:
        shared_here().board = Board.open(board)
    loop, context = asyncio.get_running_loop(), copy_context()

    def told(throttled: Throttled) -> None:
        # In the listener's context: in a node's, what it prints would be the node's.
        loop.call_soon(listener, throttled, context=context)

    listeners = shared_here().listeners
    listeners.append(told)
    try:
        yield
    finally:
        listeners.remove(told)
