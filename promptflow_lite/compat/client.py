"""`promptflow.client`: `load_flow`; and the `Flow` and `AsyncFlow` of `promptflow.core`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptflow_lite.api.flows import LoadedFlow, load_flow
from promptflow_lite.compat._missing import names_of

__all__ = ["AsyncFlow", "Flow", "load_flow"]


class Flow:
    """`Flow.load(path)` gives a function of the flow's inputs."""

    @staticmethod
    def load(source: str | Path) -> LoadedFlow:
        """The flow at `source`: `flow(question="...")` returns its outputs."""
        return load_flow(source)


class AsyncFlow:
    """`AsyncFlow.load(path)` gives an async function of the flow's inputs."""

    def __init__(self, flow: LoadedFlow) -> None:
        self._flow = flow

    @classmethod
    def load(cls, source: str | Path) -> AsyncFlow:
        """The flow at `source`: `await flow(question="...")` returns its outputs."""
        return cls(load_flow(source))

    async def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Run the flow once."""
        return await self._flow.acall(**inputs)


__getattr__ = names_of("promptflow.client")
