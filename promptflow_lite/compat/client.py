"""`promptflow.client`: `PFClient`, `load_flow`, `load_run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.compat.called import CalledFlow
from promptflow_lite.compat.given import flow_of
from promptflow_lite.compat.operations.connections import ConnectionOperations
from promptflow_lite.compat.operations.flows import FlowOperations
from promptflow_lite.compat.operations.runs import RunOperations
from promptflow_lite.compat.operations.tools import ToolOperations
from promptflow_lite.compat.prompty import Prompty
from promptflow_lite.compat.run import Run, load_run

__all__ = ["PFClient", "load_flow", "load_run"]


class PFClient:
    """Flows, runs and connections of this process's home (`PF_HOME`).

    Args:
        config: taken for Prompt flow's sake; connections and runs are always those of the home.
        others: the same.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, **others: Any) -> None:
        self._config = dict(config or {})

    @cached_property
    def runs(self) -> RunOperations:
        """Runs."""
        return RunOperations()

    @cached_property
    def flows(self) -> FlowOperations:
        """Flows."""
        return FlowOperations()

    @cached_property
    def connections(self) -> ConnectionOperations:
        """Connections."""
        return ConnectionOperations()

    @cached_property
    def tools(self) -> ToolOperations:
        """Tools of packages and of flows."""
        return ToolOperations()

    def run(
        self,
        flow: str | Path | Callable[..., Any] | None = None,
        *,
        data: str | Path | None = None,
        run: str | Run | None = None,
        column_mapping: Mapping[str, Any] | None = None,
        variant: str | Sequence[str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        name: str | None = None,
        display_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        resume_from: str | Run | None = None,
        code: str | Path | None = None,
        init: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Run:
        """Run a flow over data, to its end.

        Args:
            flow: a flow's folder or file, `module:callable`, or something to call.
            data: a file: jsonl, json, csv, tsv.
            run: the run this one builds on.
            column_mapping: flow input to `${data.column}`, `${run.outputs.column}` or a literal.
            variant: `${node.variant}`.
            connections: node name to overrides such as `{"connection": "my_azure"}`.
            environment_variables: set while the flow runs.
            name: a new one is made without it.
            display_name: for people.
            tags: for people.
            resume_from: an earlier run whose completed lines are taken over.
            code: the folder that `module:callable` is in.
            init: what the class of a flex flow is made with.
            how: `stream=True` prints how it went; `properties` are kept; `matrix`, which is ours, is what is
                varied in a run for every combination.

        Raises:
            UserErrorException: what is asked for is wrong; nothing was run.
        """
        asked = Run(
            flow=flow_of(flow, code) if flow is not None else None,
            name=name,
            data=data,
            variant=variant,
            run=run,
            column_mapping=column_mapping,
            display_name=display_name,
            tags=tags,
            environment_variables=environment_variables,
            connections=connections,
            properties=how.get("properties"),
            init=init,
            matrix=how.get("matrix"),
            resume_from=str(resume_from) if resume_from is not None else None,
        )
        return self.runs.create_or_update(asked, **how)

    def stream(self, run: str | Run, raise_on_error: bool = True) -> Run:
        """Print the log and the summary of a run; raises if it failed."""
        return self.runs.stream(run, raise_on_error)

    def get_details(self, run: str | Run, max_results: int = 100, all_results: bool = False) -> Any:
        """The lines of a run as a pandas `DataFrame`."""
        return self.runs.get_details(run, max_results, all_results)

    def get_metrics(self, run: str | Run) -> dict[str, Any]:
        """What the aggregation nodes of a run logged."""
        return self.runs.get_metrics(run)

    def visualize(self, runs: str | Run | Sequence[str | Run], **how: Any) -> Path:
        """Write one HTML page about runs, and print where it is."""
        return self.runs.visualize(runs, **how)

    def test(
        self,
        flow: str | Path | Callable[..., Any],
        *,
        inputs: Mapping[str, Any] | str | Path | None = None,
        variant: str | None = None,
        node: str | None = None,
        environment_variables: Mapping[str, str] | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> Any:
        """The outputs of a flow for one line, or the output of one node."""
        return self.flows.test(
            flow_of(flow),
            inputs=inputs,
            variant=variant,
            node=node,
            environment_variables=environment_variables,
            init=init,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"PFClient.{name} is not part of promptflow_lite; docs/compat.md lists what is")


def load_flow(source: str | Path, **others: Any) -> CalledFlow | Prompty:
    """The flow at `source`: `flow(question="...")` returns its outputs; `flow.context` changes how it runs.

    A .prompty is a `Prompty`: a call returns what the model says.

    Raises:
        UserErrorException: no flow is there, or its files are wrong.
    """
    return Prompty.load(source, **others) if Path(source).suffix == ".prompty" else CalledFlow(source)


__getattr__ = names_of(
    "promptflow.client",
    {"AsyncFlow": "promptflow_lite.compat.called:AsyncFlow", "Flow": "promptflow_lite.compat.called:Flow"},
)
