"""Where is a flow that is given to the client? A path as it is, an entry in a folder, something to call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptflow_lite.api.callables import entry_of
from promptflow_lite.compat.exceptions import UserErrorException

__all__ = ["flow_of"]


def flow_of(flow: str | Path | Callable[..., Any], code: str | Path | None = None) -> str | Path:
    """Where a flow is: a path as it is, an entry in the folder `code`, or the entry of a callable.

    Raises:
        UserErrorException: it is neither a path nor callable.
    """
    if isinstance(flow, Path):
        return flow
    if isinstance(flow, str):
        return str(Path(code) / flow) if code is not None else flow
    if not callable(flow):
        raise UserErrorException(f"flow: expected a path or something to call, got a {type(flow).__name__}")
    path = getattr(flow, "path", None)
    if isinstance(path, Path):  # a flow that was loaded, a prompt
        return path
    return entry_of(flow)
