"""What does `promptflow.client.load_flow` give? A flow to call, with a `context`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.api.flows import LoadedFlow, load_flow, outputs_of
from promptflow_lite.api.loop import wait_for
from promptflow_lite.api.streaming import StreamedOutputs
from promptflow_lite.compat.context import FlowContext
from promptflow_lite.compat.prompty import AsyncPrompty, Prompty
from promptflow_lite.compat.sdk_errors import raising
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.load import find_flow
from promptflow_lite.flow.spec import Flow as Spec

__all__ = ["AsyncFlow", "CalledFlow", "Flow", "FlowRunInfo", "Invoked"]


@dataclass(frozen=True)
class FlowRunInfo:
    """Prompt flow's record of one line."""

    status: Status
    inputs: dict[str, Any]
    output: dict[str, Any]
    error: dict[str, Any] | None
    system_metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Invoked:
    """What `invoke` gives: the outputs, and how it went."""

    output: Any
    run_info: FlowRunInfo
    node_run_infos: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, line: LineResult) -> Invoked:
        """Prompt flow's view of a line that completed."""
        usage = line.usage
        metrics = {"duration": line.seconds, "total_tokens": usage.total_tokens}
        error = {"code": line.error.code, "message": line.error.message} if line.error else None
        info = FlowRunInfo(line.status, line.inputs, line.outputs, error, metrics)
        return cls(line.outputs, info, dict(line.node_runs))


class CalledFlow:
    """A flow to call: `flow(question="...")` returns its outputs.

    Args:
        source: the flow's folder or file.

    Raises:
        UserErrorException: no flow is there, or its files are wrong.
    """

    def __init__(self, source: str | Path) -> None:
        with raising():
            self.path = find_flow(source)
            self._loaded = load_flow(source)
        self.code = self.path.parent
        self.context = FlowContext()
        self._made_for = self.context.copy()

    def __repr__(self) -> str:
        return f"<flow {self.name!r} at {self.path}>"

    @property
    def _spec(self) -> Spec:
        return self._loaded.flow

    @property
    def name(self) -> str:
        """The flow's name."""
        return self._spec.name

    @property
    def display_name(self) -> str | None:
        """A name for people."""
        return self._spec.display_name

    @property
    def description(self) -> str | None:
        """What it is for."""
        return self._spec.description

    @property
    def type(self) -> str:
        """`standard`, `chat` or `evaluation`."""
        return self._spec.type

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """The flow's outputs; with `context.streaming`, those that a model writes as generators.

        Raises:
            UserErrorException: an input is missing, a positional one was given, or a node failed.
        """
        with raising():
            _refuse_positional(args, self._spec)
            if self.context.streaming:
                return StreamedOutputs(self._current(), {**self.context.defaults(), **inputs})
            return outputs_of(self._run(inputs))

    def invoke(self, inputs: Mapping[str, Any]) -> Invoked:
        """The outputs and the record of one line.

        Raises:
            UserErrorException: an input is missing, or a node failed.
        """
        with raising():
            return Invoked.of(self._run(inputs))

    async def acall(self, **inputs: Any) -> Any:
        """The flow's outputs, on the running loop."""
        with raising():
            return await self._current().acall(**{**self.context.defaults(), **inputs})

    def _run(self, inputs: Mapping[str, Any]) -> LineResult:
        line = self._current().invoke({**self.context.defaults(), **inputs})
        print(line.logs, end="")  # what the tools printed, as a script expects
        outputs_of(line)
        return line

    def _current(self) -> LoadedFlow:
        """The flow as its context has it now; bound again only if the context has changed."""
        if self.context != self._made_for:
            wait_for(self._loaded.aclose())
            self._loaded = load_flow(
                self.path,
                variant=self.context.variant,
                connections=self.context.of_nodes(),
                environment_variables=self.context.environment_variables,
            )
            self._made_for = self.context.copy()
        return self._loaded


class Flow:
    """`Flow.load(path)` gives a function of the flow's inputs."""

    @staticmethod
    def load(source: str | Path, **changes: Any) -> CalledFlow | Prompty:
        """The flow at `source`: `flow(question="...")` returns its outputs.

        A .prompty is a `Prompty`; `changes` go over its front matter.
        """
        return Prompty.load(source, **changes) if _is_prompty(source) else CalledFlow(source)


class AsyncFlow:
    """`AsyncFlow.load(path)` gives an async function of the flow's inputs."""

    def __init__(self, flow: CalledFlow) -> None:
        self._flow = flow

    @classmethod
    def load(cls, source: str | Path, **changes: Any) -> AsyncFlow | AsyncPrompty:
        """The flow at `source`: `await flow(question="...")` returns its outputs; as `Flow.load`."""
        return AsyncPrompty.load(source, **changes) if _is_prompty(source) else cls(CalledFlow(source))

    async def __call__(self, **inputs: Any) -> Any:
        """Run the flow once."""
        return await self._flow.acall(**inputs)


def _is_prompty(source: str | Path) -> bool:
    return Path(source).suffix == ".prompty"


def _refuse_positional(args: tuple[Any, ...], flow: Spec) -> None:
    if args:
        raise InputError(
            f"the flow {flow.name!r} takes its inputs by name", hint=f"it has: {', '.join(flow.inputs)}"
        )
