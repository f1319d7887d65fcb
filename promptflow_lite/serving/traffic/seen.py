"""What is known of a request that was answered? Who asked what of whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from promptflow_lite.engine.results import LineResult
from promptflow_lite.flow import images
from promptflow_lite.flow.spec import Flow

__all__ = ["MIRRORED", "Seen", "record_of", "utc"]

MIRRORED = "mirror"
"""Instead of a path, where a request is the copy of another deployment's."""


@dataclass(slots=True)
class Seen:
    """One request, after its answer."""

    time: float
    """When it was answered; seconds since the epoch."""
    endpoint: str
    deployment: str
    path: str
    request_id: str
    traceparent: str | None
    """The caller's, where it is well formed."""
    flow: Flow
    inputs: Mapping[str, Any]
    """As the caller gave them; nothing of the headers."""
    line: LineResult
    size: int
    """Bytes of the request's body."""


def record_of(seen: Seen, *, inputs: bool = True, outputs: bool = True) -> dict[str, Any]:
    """The request as it is kept.

    All outputs are there, those for evaluation only too: the next evaluation is what they are for.

    Args:
        seen: the request.
        inputs: whether its inputs are kept.
        outputs: whether its outputs are.
    """
    line = seen.line
    usage = line.usage
    record: dict[str, Any] = {
        "time": utc(seen.time),
        "request_id": seen.request_id,
        "traceparent": seen.traceparent,
        "endpoint": seen.endpoint,
        "deployment": seen.deployment,
        "path": seen.path,
        "status": line.status.value,
        "error": line.error.code if line.error is not None else None,
        "seconds": round(line.seconds, 6),
        "tokens": {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens},
    }
    if inputs:
        record["inputs"] = dict(seen.inputs)
    if outputs:
        form = seen.flow.message_format
        record["outputs"] = {name: images.to_base64(value, form) for name, value in line.outputs.items()}
    return record


def utc(seconds: float) -> str:
    """A moment as ISO 8601, in UTC.

    >>> utc(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
