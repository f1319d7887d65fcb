"""`promptflow.tracing`: `trace` and `start_trace`, accepted so that code runs; no trace is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar, overload

from promptflow_lite.compat._missing import names_of

__all__ = ["ThreadPoolExecutorWithContext", "start_trace", "trace"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_log = logging.getLogger("promptflow_lite.compat")


def start_trace(
    *, resource_attributes: dict[str, Any] | None = None, collection: str | None = None, **how: Any
) -> None:
    """Say in the log that no trace is collected, and do nothing else."""
    _log.info("start_trace(collection=%r): promptflow_lite collects no traces", collection)


@overload
def trace(function: _Function) -> _Function: ...
@overload
def trace(function: None = None, **how: Any) -> Callable[[_Function], _Function]: ...
def trace(function: Any = None, **how: Any) -> Any:
    """The function as it is; `@trace` and `@trace(name=...)` are both accepted."""
    return (lambda f: f) if function is None else function


class ThreadPoolExecutorWithContext(ThreadPoolExecutor):
    """Threads that see the context variables of whoever submits."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` in a copy of this context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)


__getattr__ = names_of("promptflow.tracing")
