"""How does code of a flow wait for a model? On the flow's loop; where it runs on that itself, on one beside.

A tool in a thread waits for the flow's loop, so that its models are paced together with all others. A sync
call on the loop itself would wait for itself: a second loop does the work then, while the first waits.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, TypeVar

from promptflow_lite.tools.scope import around

__all__ = ["parts_of", "wait_for"]

_Result = TypeVar("_Result")


def wait_for(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What `work` returns."""
    pending = _begin(work)
    try:
        return pending.result()
    except BaseException:
        pending.cancel()
        raise


def parts_of(parts: AsyncIterator[Any]) -> Iterator[Any]:
    """The parts of a stream as they come; what it raises is raised here. Nobody need take them all."""
    queue: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()

    async def pump() -> None:
        try:
            async for part in parts:
                queue.put(lambda part=part: part)  # type: ignore[misc]
        except BaseException as error:
            queue.put(_raiser(error))
            if not isinstance(error, Exception):
                raise
        finally:
            close = getattr(parts, "aclose", None)
            if close is not None:
                await close()
            queue.put(None)

    pending = _begin(pump())
    try:
        while (take := queue.get()) is not None:
            yield take()
    finally:
        pending.cancel()


def _raiser(error: BaseException) -> Callable[[], Any]:
    def throw() -> Any:
        raise error

    return throw


def _begin(work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
    return asyncio.run_coroutine_threadsafe(work, _loop())


def _loop() -> asyncio.AbstractEventLoop:
    flow = around.get()
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if flow is not None and flow.loop is not here and flow.loop.is_running():
        return flow.loop
    return _second_loop()


@lru_cache(maxsize=1)
def _second_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="promptflow_lite prompts", daemon=True)
    thread.start()
    atexit.register(_stop, loop, thread)
    return loop


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=1)
    if not thread.is_alive():
        loop.close()
