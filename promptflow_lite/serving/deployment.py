"""Who answers? A flow under a name, and the endpoint that picks one of several."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.engine.events import Emit, ignore
from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import LineResult
from promptflow_lite.errors import FlowError, near_miss
from promptflow_lite.flow.check import check
from promptflow_lite.flow.init import give
from promptflow_lite.flow.load import load_flow
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.variants import choose_variants, parse_choice
from promptflow_lite.serving.gate import Gate
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.tools.bind import bind, close, warm
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["Alone", "BoundDeployment", "Deployment", "Endpoint", "ask_by_header", "flow_of", "load"]

log = logging.getLogger("promptflow_lite.serving")

Overrides = Mapping[str, Mapping[str, Any]]


class Deployment(Protocol):
    """A flow that answers, in this process or in another."""

    @property
    def name(self) -> str:
        """What callers and metrics call it."""
        ...

    @property
    def flow(self) -> Flow:
        """What it takes and gives; reading it imports no user code."""
        ...

    @property
    def gate(self) -> Gate:
        """How many runs it takes at once."""
        ...

    async def answer(
        self, inputs: Mapping[str, Any], *, stream: bool = False, whole: bool = False, emit: Emit = ignore
    ) -> LineResult:
        """What came of one line; cancelling the caller's task cancels the run.

        Args:
            inputs: by name.
            stream: whether what models write is told part by part.
            whole: whether somebody will look at what the nodes took and gave; another process keeps that
                to itself otherwise.
            emit: is told of nodes and parts as they come.

        Raises:
            InputError: an input is missing or of the wrong type.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Endpoint(Protocol):
    """What the app serves: deployments, and the choice among them for each request."""

    @property
    def name(self) -> str:
        """Shown to people, and the `title` of the schema."""
        ...

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """By name; the first one's flow is the one that the schema describes."""
        ...

    def choose(self, headers: Mapping[bytes, bytes], model: str | None = None) -> Deployment:
        """Who answers this request.

        Args:
            headers: of the request, names in lower case.
            model: the `model` of an OpenAI request.

        Raises:
            Refusal: 404, no deployment is named so.
        """
        ...

    async def close(self) -> None:
        """Close the deployments."""
        ...


class BoundDeployment:
    """A bound flow of this process."""

    def __init__(self, name: str, bound: BoundFlow, *, gate: Gate, timeout_s: float | None) -> None:
        self.name = name
        self.bound = bound
        self.flow = bound.flow
        self.gate = gate
        self._timeout_s = timeout_s

    async def answer(
        self, inputs: Mapping[str, Any], *, stream: bool = False, whole: bool = False, emit: Emit = ignore
    ) -> LineResult:
        """What came of one line, in time or `Failed` with the code `timeout`."""
        return await run_line(self.bound, inputs, stream=stream, timeout_s=self._timeout_s, emit=emit)

    async def warm(self) -> None:
        """Read what the first request would wait for, such as weights."""
        with Home(self.bound.folder):
            for what in await warm(self.bound):
                log.warning("%s: %s", self.name, what, extra={"deployment": self.name})

    async def close(self) -> None:
        """Close clients, servers and whatever else the flow's nodes hold."""
        await close(self.bound)


class Alone:
    """An endpoint with one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.deployments: Mapping[str, Deployment] = {deployment.name: deployment}
        self._deployment = deployment

    def choose(self, headers: Mapping[bytes, bytes], model: str | None = None) -> Deployment:
        """The one there is; another name is refused."""
        return ask_by_header(self.deployments, headers, model) or self._deployment

    async def close(self) -> None:
        """Close the deployment."""
        await self._deployment.close()


def ask_by_header(
    deployments: Mapping[str, Deployment], headers: Mapping[bytes, bytes], model: str | None
) -> Deployment | None:
    """The deployment that a request names: by `azureml-model-deployment`, else as its `model`.

    Raises:
        Refusal: 404, there is none of that name.
    """
    asked = headers.get(b"azureml-model-deployment")
    name = asked.decode("latin-1") if asked is not None else model
    if name is None:
        return None
    if name not in deployments:
        what = "deployment" if asked is not None else "model"
        code = "deployment-not-found" if asked is not None else "model-not-found"
        hint = near_miss(name[:100], deployments) or f"there are: {', '.join(deployments)}"
        raise Refusal(404, code, f"no {what} is named {name[:100]!r}; {hint}", param="model")
    return deployments[name]


def flow_of(
    source: str | Path,
    *,
    variants: Mapping[str, str] | None = None,
    environment_variables: Mapping[str, str] | None = None,
    init: Mapping[str, Any] | None = None,
) -> Flow:
    """The flow at `source`, checked; no user code is imported.

    Args:
        source: a flow's folder, or its file.
        variants: node name to variant; other nodes take their default.
        environment_variables: set over those that the flow sets itself.
        init: what the class of a flex flow is made with; changes of a prompty's front matter.

    Raises:
        FlowError: everything that is wrong with the flow.
    """
    flow = choose_variants(load_flow(source), variants or {})
    if environment_variables:
        flow = flow.derive(environment_variables={**flow.environment_variables, **environment_variables})
    flow = give(flow, init or {})
    errors = [complaint for complaint in check(flow) if complaint.severity == "error"]
    if errors:
        raise FlowError(errors)
    return flow


def load(
    source: str | Path,
    *,
    connections: ConnectionProvider,
    name: str | None = None,
    variant: str | None = None,
    variants: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
    environment_variables: Mapping[str, str] | None = None,
    init: Mapping[str, Any] | None = None,
    gate: Gate | None = None,
    timeout_s: float | None = 60.0,
) -> BoundDeployment:
    """The flow at `source`, checked and bound: a bad flow never starts to listen.

    Args:
        source: a flow's folder, or its file.
        connections: where the connections that it names are found.
        name: of the deployment; default the flow's.
        variant: `${node.variant}`; without it the defaults.
        variants: further ones, by node name.
        overrides: node name to overrides such as `{"connection": "my_azure"}`.
        environment_variables: set over those that the flow sets itself.
        init: what the class of a flex flow is made with; changes of a prompty's front matter.
        gate: how many runs at once.
        timeout_s: seconds a run may take.

    Raises:
        FlowError: everything that is wrong with the flow.
        UserError: a script, a tool or a connection is missing or wrong.
    """
    chosen = {**(variants or {}), **(dict([parse_choice(variant)]) if variant else {})}
    flow = flow_of(source, variants=chosen, environment_variables=environment_variables, init=init)
    bound = bind(flow, connections, overrides=overrides)
    return BoundDeployment(name or flow.name, bound, gate=gate or Gate(), timeout_s=timeout_s)
