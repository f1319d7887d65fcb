"""How does sync code wait for async work? On one loop of our own, in a thread that stays.

So it works everywhere, inside a running event loop (Jupyter) too.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, TypeVar

from promptflow_lite.errors import UserError

__all__ = ["begin", "wait_for"]

_Result = TypeVar("_Result")


def wait_for(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What `work` returns, run to its end on our own loop.

    Raises:
        UserError: called on that very loop, that is from an async tool; it has to await instead.
    """
    pending = begin(work)
    try:
        return pending.result()
    except BaseException:
        pending.cancel()
        raise


def begin(work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
    """`work`, begun on our own loop; nobody waits for it yet.

    Raises:
        UserError: called on that very loop, that is from an async tool; it has to await instead.
    """
    loop, thread = _own_loop()
    if threading.current_thread() is thread:
        work.close()
        raise UserError(
            "a flow is called from an async tool", hint="await flow.acall(...) there", code="in-loop"
        )
    return asyncio.run_coroutine_threadsafe(work, loop)


@lru_cache(maxsize=1)
def _own_loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="promptflow_lite", daemon=True)
    thread.start()
    atexit.register(_stop, loop, thread)
    return loop, thread


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=1)
    if not thread.is_alive():
        loop.close()
