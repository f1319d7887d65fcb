"""How do paths become one application behind the door? The same way for endpoints of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, NoReturn

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from promptflow_lite.serving.call import Limits, Receive, Scope, Send
from promptflow_lite.serving.door import Access, App, Closing, Door, of_routing
from promptflow_lite.serving.metrics import CONTENT_TYPE, Metrics
from promptflow_lite.serving.page import Docs
from promptflow_lite.serving.reply import send as reply
from promptflow_lite.serving.reply import send_json

__all__ = ["Document", "Json", "application"]

Document = Callable[[], dict[str, Any]]
"""Gives the OpenAPI document as it is now."""


def application(
    name: str,
    routes: Sequence[Route],
    document: Document,
    *,
    version: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    access: Access,
    limits: Limits,
    metrics: Metrics,
    closing: Closing | None,
    unlocked: Collection[str] = (),
    straight: Mapping[str, App] = MappingProxyType({}),
) -> FastAPI:
    """The application of an endpoint: its own paths, and health, schema, metrics and docs.

    Args:
        name: the endpoint's.
        routes: its own paths.
        document: what `/swagger.json` and `/docs` show.
        version: of promptflow_lite.
        lifespan: what is open while it serves.
        access: who may come in.
        limits: what a body may cost.
        metrics: where answers are counted.
        closing: how the server tells that it is going down; `None` where it never does.
        unlocked: its own paths that are answered without a key.
        straight: who answers `POST` to a path, past the routing.
    """
    every = [
        *routes,
        Route("/health", Json(lambda: {"status": "Healthy", "version": version}), methods=["GET"]),
        Route("/swagger.json", _Described(document), methods=["GET"]),
        Route("/openapi.json", _Described(document), methods=["GET"]),
        Route("/metrics", _Text(metrics.text, CONTENT_TYPE.encode()), methods=["GET"]),
        Route("/docs", Docs(document), methods=["GET"]),
    ]
    app = FastAPI(
        title=name,
        version=version,
        routes=[*every],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
        exception_handlers={HTTPException: _refuse},
        middleware=[
            Middleware(
                Door,
                access=access,
                limits=limits,
                metrics=metrics,
                paths=[route.path for route in every],
                unlocked={"/health", *unlocked},
                straight=straight,
                closing=closing or Closing(),
            )
        ],
    )
    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app


class Json:
    """Answers with a value, made anew for each caller."""

    def __init__(self, value: Callable[[], Any]) -> None:
        self._value = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await send_json(send, 200, self._value())


class _Described:
    """Answers with an OpenAPI document, whose server is where the application is mounted."""

    def __init__(self, document: Document) -> None:
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        where = [{"url": scope.get("root_path") or "/"}]
        await send_json(send, 200, {**self._document(), "servers": where})


class _Text:
    """Answers with text, made anew for each caller."""

    def __init__(self, text: Callable[[], bytes], kind: bytes) -> None:
        self._text = text
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 200, self._text(), self._kind)


async def _refuse(request: Any, error: Exception) -> NoReturn:
    """The door writes what routing refuses, in the form of the path."""
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    raise of_routing(error)
