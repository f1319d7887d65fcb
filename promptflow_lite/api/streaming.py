"""How is a flow's answer read while it is written? Outputs that wait until they are asked, or parts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any

from promptflow_lite.api.flows import LoadedFlow, outputs_of
from promptflow_lite.api.loop import begin, wait_for
from promptflow_lite.engine.events import Chunk, Emit, Event
from promptflow_lite.engine.results import LineResult

__all__ = ["StreamedOutputs", "parts_of", "told"]


class StreamedOutputs(Mapping[str, Any]):
    """The outputs of a flow that runs: one that a model writes is a generator of its parts, as they come.

    An output that is not written part by part is waited for when it is asked for. A failure is raised where
    it is met.

    Args:
        flow: what runs; it starts now.
        inputs: by name.
    """

    def __init__(self, flow: LoadedFlow, inputs: Mapping[str, Any]) -> None:
        self._names = list(flow.flow.outputs)
        self._parts: dict[str, list[str]] = {}
        self._news = threading.Condition()
        self._line = begin(flow.ainvoke(inputs, stream=True, emit=self._listen))
        self._line.add_done_callback(self._wake)

    def __getitem__(self, name: str) -> Any:
        """A generator of the parts of `name`, or its value.

        Raises:
            KeyError: the flow has no such output.
            NodeError: the line failed before `name` had a part.
            InputError: an input is missing or of another type.
        """
        if name not in self._names:
            raise KeyError(name)
        with self._news:
            self._news.wait_for(lambda: name in self._parts or self._line.done())
        return self._read(name) if name in self._parts else outputs_of(self._line.result())[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<outputs that are being written: {', '.join(self._names)}>"

    def _read(self, name: str) -> Iterator[str]:
        parts, at = self._parts[name], 0
        while new := self._after(parts, at):
            at += len(new)
            yield from new
        outputs_of(self._line.result())

    def _after(self, parts: list[str], at: int) -> list[str]:
        """The parts from `at` on, waited for; empty once the line has ended."""
        with self._news:
            self._news.wait_for(lambda: len(parts) > at or self._line.done())
            return parts[at:]

    def _listen(self, event: Event) -> None:
        if isinstance(event, Chunk):
            with self._news:
                for name in event.outputs:
                    self._parts.setdefault(name, []).append(event.text)
                self._news.notify_all()

    def _wake(self, _: object) -> None:
        with self._news:
            self._news.notify_all()


async def parts_of(
    run: Callable[[Emit], Coroutine[Any, Any, LineResult]],
) -> AsyncGenerator[dict[str, Any], None]:
    """The outputs of a line in parts: text as models write it, the rest last.

    Args:
        run: runs the line, and tells what happens to what it is given. Cancelled when nobody listens.

    Raises:
        InputError: an input is missing or of another type.
        NodeError: the line failed.
    """
    chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()

    def listen(event: Event) -> None:
        if isinstance(event, Chunk):
            chunks.put_nowait(event)

    line = asyncio.create_task(run(listen))
    line.add_done_callback(lambda done: chunks.put_nowait(None))
    given: set[str] = set()
    try:
        while (chunk := await chunks.get()) is not None:
            given.update(chunk.outputs)
            yield dict.fromkeys(chunk.outputs, chunk.text)
        rest = {name: value for name, value in outputs_of(await line).items() if name not in given}
        if rest:
            yield rest
    finally:
        line.cancel()  # whoever listened may have gone


def told(parts: AsyncGenerator[dict[str, Any], None]) -> Iterator[dict[str, Any]]:
    """The same parts for sync code."""
    try:
        while (part := wait_for(_next_of(parts))) is not None:
            yield part
    finally:
        wait_for(parts.aclose())


async def _next_of(parts: AsyncIterator[dict[str, Any]]) -> dict[str, Any] | None:
    return await anext(parts, None)
