"""What does an endpoint of flows answer? Its paths, and the schema that is made of its first flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from promptflow_lite.flow.spec import Flow
from promptflow_lite.registry import Registry
from promptflow_lite.serving.application import Json, application
from promptflow_lite.serving.call import Limits
from promptflow_lite.serving.completions import Completions, Models
from promptflow_lite.serving.deployment import Endpoint
from promptflow_lite.serving.door import Access, App, Closing
from promptflow_lite.serving.feedback import Feedback
from promptflow_lite.serving.keys import Keys
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.page import Files, Index
from promptflow_lite.serving.page import paths as page_paths
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.running import Runs
from promptflow_lite.serving.schema import document_of
from promptflow_lite.serving.score import Score, is_shown
from promptflow_lite.serving.traffic.watch import Traffic

__all__ = ["Options", "create_app"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an endpoint is served."""

    access: Access = field(default_factory=lambda: Access(Keys()))
    limits: Limits = field(default_factory=Limits)
    feedback: Path
    """The file that feedback is kept in."""
    only: Collection[str] | None = None
    """The outputs of `/score`; `None` for all but those that are for evaluation only."""
    mcp: bool = False
    """Whether the flow is offered as an MCP tool at `/mcp`."""
    traffic: Traffic | None = None
    """Is told of requests and feedback; `None` where nobody wants to know."""


def create_app(
    endpoint: Endpoint,
    options: Options,
    *,
    closing: Closing | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The application; it can be served alone or mounted in another.

    Args:
        endpoint: who answers; closed when the application's lifespan ends.
        options: who may come in, and what that may cost.
        closing: how the server tells that it is going down.
        metrics: where answers are counted; the endpoint may count there too.
    """
    metrics = metrics or Metrics()
    runs, here = Runs(metrics, options.traffic), version("promptflow_lite")
    answering: dict[str, App] = {
        "/score": Score(endpoint, runs, only=options.only),
        "/v1/chat/completions": Completions(endpoint, runs),
    }
    routes = [
        *(Route(path, app, methods=["POST"]) for path, app in answering.items()),
        Route("/v1/models", Models(endpoint), methods=["GET"]),
        Route("/v1/models/{model:path}", Models(endpoint), methods=["GET"]),
        Route("/feedback", Feedback(options.feedback, endpoint.name, options.traffic), methods=["POST"]),
        Route("/version", Json(lambda: _version(here)), methods=["GET"]),
        Route("/", Index(), methods=["GET"]),
        Route("/page/{name}", Files(), methods=["GET"]),
    ]
    mcp = Registry("mcp").get("http")(endpoint, runs, only=options.only) if options.mcp else None
    if mcp is not None:
        routes.append(Route("/mcp", mcp, methods=["GET", "POST", "DELETE"]))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nullcontext() if mcp is None else mcp.running():
            yield
        await endpoint.close()
        if options.traffic is not None:
            await asyncio.to_thread(options.traffic.close)

    return application(
        endpoint.name,
        routes,
        _Document(endpoint, here, options),
        version=here,
        lifespan=lifespan,
        access=options.access,
        limits=options.limits,
        metrics=metrics,
        closing=closing,
        unlocked=page_paths(),
        straight=answering,
    )


class _Document:
    """The OpenAPI document of an endpoint, made anew when its first deployment's flow changes."""

    def __init__(self, endpoint: Endpoint, version: str, options: Options) -> None:
        self._endpoint = endpoint
        self._version = version
        self._options = options
        self._made: tuple[Flow, dict[str, Any]] | None = None

    def __call__(self) -> dict[str, Any]:
        """The document."""
        first = next(iter(self._endpoint.deployments.values()), None)
        if first is None:
            raise Refusal(503, "no-deployment", "this endpoint has no deployment yet")
        flow = first.flow
        if self._made is None or self._made[0] is not flow:
            options = self._options
            made = document_of(
                flow,
                title=self._endpoint.name,
                version=self._version,
                outputs=[name for name in flow.outputs if is_shown(flow, name, options.only)],
                model=next(iter(self._endpoint.deployments)),
                keys=options.access.keys.are_asked_for,
            )
            self._made = (flow, made)
        return self._made[1]


def _version(here: str) -> dict[str, str]:
    return {"status": "Healthy", "build_info": f"promptflow_lite {here}", "version": here}
