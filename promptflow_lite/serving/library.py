"""How does another application serve a flow? As an ASGI application to mount under a path of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from promptflow_lite.serving.app import create_app
from promptflow_lite.serving.deployment import Alone
from promptflow_lite.serving.keys import hashed
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.plan import Plan

__all__ = ["app_of"]


def app_of(
    source: str | Path,
    *,
    keys: Sequence[str] = (),
    collect: str | Path | None = None,
    **plan: Any,
) -> FastAPI:
    """The application of a flow: `/score`, `/v1`, its page and the rest, as `pf flow serve` has them.

    Its lifespan closes what the flow's nodes hold. Starlette does not run that of a mounted application; the
    outer one does, with `async with app.router.lifespan_context(app)` in its own.

    Args:
        source: a flow's folder, or its file.
        keys: those of which callers need one; without any it is the outer application that says who may call.
        collect: the folder in which requests and feedback are kept.
        **plan: further fields of `serving.plan.Plan`, such as `variant`, `timeout_s`, `mcp` or `mlflow`.

    Raises:
        UserError: what is wrong with the flow, a tool or a connection.
    """
    kept = os.fspath(collect) if collect is not None else ""
    found = Plan(
        source=os.fspath(source),
        keys=tuple(hashed(key) for key in keys),
        collect=kept,
        feedback=os.fspath(Path(kept) / "feedback.jsonl") if kept else "",
        **plan,
    )
    endpoint, metrics = Alone(found.deployment()), Metrics()
    return create_app(endpoint, found.options(endpoint, metrics), metrics=metrics)
