"""How does LangChain call a flow? As a Runnable: `as_runnable(flow)`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel, create_model

from promptflow_lite.api.flows import LoadedFlow, load_flow
from promptflow_lite.api.loop import wait_for
from promptflow_lite.api.streaming import parts_of, told
from promptflow_lite.flow.types import ValueType

__all__ = ["FlowRunnable", "as_runnable"]

_TYPES: Mapping[str, Any] = {
    ValueType.int: int,
    ValueType.double: float,
    ValueType.bool: bool,
    ValueType.string: str,
    ValueType.list: list[Any],
}


def as_runnable(flow: str | Path | LoadedFlow) -> FlowRunnable:
    """The flow as a Runnable: its inputs by name in, its outputs by name out.

    Args:
        flow: a path, or what `load_flow` gave.

    Raises:
        UserError: what is wrong with the flow, its scripts and its connections: the flow is bound now.
    """
    loaded = flow if isinstance(flow, LoadedFlow) else load_flow(flow)
    _ = loaded.bound  # now: a batch calls from several threads, which would each bind it
    return FlowRunnable(loaded)


class FlowRunnable(Runnable[dict[str, Any], dict[str, Any]]):
    """A flow that LangChain can call, stream, batch and compose."""

    def __init__(self, flow: LoadedFlow) -> None:
        self.flow = flow
        self.name = flow.flow.name

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """A model of the flow's inputs: their types, and their defaults where they have one."""
        fields: dict[str, Any] = {
            name: (_TYPES.get(spec.type, Any), ... if spec.default is None else spec.default)
            for name, spec in self.flow.flow.inputs.items()
        }
        return create_model(f"{self.get_name()}_inputs", **fields)

    def get_output_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """A model of the flow's outputs: of any type, since those declared are documentation only."""
        fields: dict[str, Any] = dict.fromkeys(self.flow.flow.outputs, (Any, ...))
        return create_model(f"{self.get_name()}_outputs", **fields)

    def invoke(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The flow's outputs by name.

        Raises:
            InputError: an input is missing or of another type.
            NodeError: a node failed.
        """
        return self._call_with_config(lambda given: wait_for(self.flow.acall(**given)), dict(input), config)

    async def ainvoke(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The flow's outputs by name, on the running loop; raises what `invoke` raises."""

        async def call(given: dict[str, Any]) -> dict[str, Any]:
            return await self.flow.acall(**given)

        return await self._acall_with_config(call, dict(input), config)

    async def astream(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """The outputs in parts that add up to those of `ainvoke`: text as models write it, the rest last."""

        async def given() -> AsyncIterator[dict[str, Any]]:
            yield dict(input)

        async for part in self._atransform_stream_with_config(given(), self._parts_of, config):
            yield part

    def stream(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """The parts of `astream`, for sync code."""
        yield from told(cast(AsyncGenerator[dict[str, Any], None], self.astream(input, config)))

    async def _parts_of(self, inputs: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        given = await anext(aiter(inputs))
        parts = parts_of(lambda emit: self.flow.ainvoke(given, stream=True, emit=emit))
        async with aclosing(parts):
            async for part in parts:
                yield AddableDict(part)
