"""How does sync code read a flow's answer while it is written? Outputs that wait for what they are asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from promptflow_lite.api.flows import LoadedFlow, outputs_of
from promptflow_lite.api.loop import begin
from promptflow_lite.engine.events import Chunk, Event

__all__ = ["StreamedOutputs"]


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
