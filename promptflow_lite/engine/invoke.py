"""What comes of calling one tool? Sync, async or streaming: called, timed, and its error kept.

The only place that catches what user code raises while a flow runs; all but a cancellation from outside
becomes the node's Failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from inspect import isawaitable
from time import perf_counter
from types import GeneratorType
from typing import Any

from promptflow_lite.engine.results import Failure, NodeRun, Status
from promptflow_lite.engine.streamed import Streamed
from promptflow_lite.engine.threads import in_thread
from promptflow_lite.errors import NodeError, PromptflowError
from promptflow_lite.tools import frames
from promptflow_lite.tools.clock import Clock
from promptflow_lite.tools.scope import NodeScope, current
from promptflow_lite.tools.tool import BoundNode, Tool
from promptflow_lite.values import Image

__all__ = ["failure_of", "invoke"]

Tell = Callable[[str], None]
"""Is told each part of a streamed output."""

_SETTLED = frozenset({str, dict, list, int, float, bool, tuple, type(None)})
"""What a tool mostly gives, and needs no further look."""


async def invoke(
    run: NodeRun, bound: BoundNode, arguments: dict[str, Any], scope: NodeScope, tell: Tell | None
) -> None:
    """Call the node's tool, and write into `run` what came of it.

    Args:
        run: the record of the node, begun by the caller.
        bound: the node with its tool.
        arguments: what the tool is called with.
        scope: where the tool may leave usage, metrics and prints.
        tell: is told each part of a streamed output; `None` where nobody listens.

    Raises:
        asyncio.CancelledError: the line was cancelled; `run` says so.
    """
    token = current.set(scope)
    began = perf_counter()
    try:
        timeout_s = bound.node.timeout
        if timeout_s is None:
            run.output = await _output(bound, arguments, tell)
        else:
            run.output = await _in_time(bound, arguments, tell, timeout_s)
        run.status = Status.Completed
    except GeneratorExit:
        raise
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        if _is_cancelled_from_outside():  # a second Ctrl-C is one too
            run.status = Status.Canceled
            raise
        run.status, run.error = Status.Failed, failure_of(error, run.node)
    except BaseException as error:
        run.status, run.error = Status.Failed, _with_hint(failure_of(error, run.node), arguments)
    finally:
        run.seconds = perf_counter() - began
        current.reset(token)
        usage = scope.usage
        if usage.calls or usage.prompt_tokens or usage.completion_tokens or usage.reused:
            run.usage = usage
        run.model, run.endpoint, run.finish_reason = scope.model, scope.endpoint, scope.finish_reason


def failure_of(error: BaseException, node: str | None) -> Failure:
    """Why a node failed, with the user's frames only."""
    if isinstance(error, PromptflowError):
        traceback = frames.text_of(error) if frames.has_users(error) else None
        return Failure(error.code, str(error), node, traceback, getattr(error, "details", None))
    said = frames.message_of(error)
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    code = "out-of-memory" if isinstance(error, MemoryError) else NodeError.code
    return Failure(code, message, node, frames.text_of(error))


def _with_hint(failure: Failure, arguments: Mapping[str, Any]) -> Failure:
    """A failure over an image that has no bytes says why it has none."""
    names = [n for n, value in arguments.items() if isinstance(value, Image) and not value]
    if names and failure.code == NodeError.code:
        failure.message += (
            f"\n  {', '.join(map(repr, names))} is an image known by its address, which is never fetched: "
            "give its path or base64 text, or let the tool fetch its source_url"
        )
    return failure


async def _in_time(bound: BoundNode, arguments: dict[str, Any], tell: Tell | None, timeout_s: float) -> Any:
    try:
        with Clock.after(timeout_s, stops=True) as limit:
            return await _output(bound, arguments, tell)
    except TimeoutError:
        if limit.is_over:
            raise NodeError(f"took longer than its timeout of {timeout_s:g} s", code="timeout") from None
        raise


async def _output(bound: BoundNode, arguments: dict[str, Any], tell: Tell | None) -> Any:
    tool = bound.tool
    if tool.mode == "async":
        value = await tool.call(**arguments)
    elif tool.mode == "inline":
        value = tool.call(**arguments)
    else:
        value = await in_thread(
            _call_and_drain, {"tool": tool, "arguments": arguments, "tell": _on_this_loop(tell)}
        )
    if type(value) is dict:
        return await _with_drained(value) if _has_generator(value) else value
    if type(value) in _SETTLED:
        return value
    if isawaitable(value):  # a sync function that gave back a coroutine
        value = await value
    if isinstance(value, AsyncIterator):
        parts = await _joined(value, tell)
        return parts if bound.node.type == "python" else str(parts)
    if isinstance(value, Iterator):
        return _drained(value, tell)
    return value


def _call_and_drain(tool: Tool, arguments: dict[str, Any], tell: Tell | None) -> Any:
    """In the thread: a generator of the user's runs there too."""
    value = tool.call(**arguments)
    return _drained(value, tell) if isinstance(value, Iterator) else value


def _has_generator(value: dict[Any, Any]) -> bool:
    return any(type(part) is GeneratorType for part in value.values())


async def _with_drained(value: dict[Any, Any]) -> dict[Any, Any]:
    """The mapping with what its generators give, in a thread, for they are the user's code."""
    return {
        key: await in_thread(_drained, {"parts": part, "tell": None}) if type(part) is GeneratorType else part
        for key, part in value.items()
    }


def _drained(parts: Iterator[Any], tell: Tell | None) -> Streamed:
    kept: list[Any] = []
    for part in parts:
        kept.append(part)
        if tell is not None:
            tell(str(part))
    return Streamed(kept)


async def _joined(parts: AsyncIterator[Any], tell: Tell | None) -> Streamed:
    kept: list[Any] = []
    try:
        async for part in parts:
            kept.append(part)
            if tell is not None:
                tell(str(part))
    finally:
        close = getattr(parts, "aclose", None)  # a generator that is cut short lets go of its connection now
        if close is not None:
            await close()
    return Streamed(kept)


def _on_this_loop(tell: Tell | None) -> Tell | None:
    """The same listener, called on the loop from any thread."""
    if tell is None:
        return None
    loop = asyncio.get_running_loop()

    def later(text: str) -> None:
        loop.call_soon_threadsafe(tell, text)

    return later


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
