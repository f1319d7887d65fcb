"""How do jobs look on the wire? What is asked for in Azure ML's shape, and a job in the same.

Azure ML: batch endpoints, `POST /jobs` with `properties.InputData`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from promptflow_lite.serving.batch.job import Job
from promptflow_lite.serving.refusal import Refusal

__all__ = ["KINDS", "Wanted", "as_json", "asked_of"]

KINDS = {
    ".csv": "text/csv; charset=utf-8",
    ".jsonl": "application/jsonl",
    ".json": "application/json",
}
_LONGEST_ABOUT = 1000
_MOST_TAGS = 100


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a body asks for."""

    uri: str
    is_folder: bool
    literals: Mapping[str, Any] = field(default_factory=dict)
    """Inputs that are the same for all rows."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """`display_name`, `description` and `tags`."""


def asked_of(body: Any) -> Wanted:
    """What a JSON body asks for.

    Raises:
        Refusal: 400, with the key that is wrong.
    """
    properties = _object(_object(body, "the body").get("properties"), "properties")
    inputs = _object(properties.get("InputData"), "properties.InputData")
    if properties.get("OutputData"):
        raise Refusal(
            400, "not-supported", "properties.OutputData: outputs are fetched: GET /jobs/{name}/output"
        )
    literals: dict[str, Any] = {}
    paths: list[tuple[str, bool]] = []
    for name, given in inputs.items():
        where = f"properties.InputData.{name[:100]}"
        item = _object(given, where)
        kind = str(item.get("JobInputType") or item.get("jobInputType") or "").lower()
        if kind == "literal":
            literals[name] = item.get("Value", item.get("value"))
        elif kind in ("urifile", "urifolder"):
            uri = item.get("Uri", item.get("uri"))
            if not isinstance(uri, str) or not uri:
                raise Refusal(400, "wrong-input", f"{where}.Uri: expected the path of a file or folder")
            paths.append((uri, kind == "urifolder"))
        else:
            expected = "expected UriFile, UriFolder or Literal"
            raise Refusal(400, "wrong-input", f"{where}.JobInputType: {expected}")
    if len(paths) != 1:
        said = f"properties.InputData: expected one UriFile or UriFolder, got {len(paths)}"
        raise Refusal(400, "wrong-input", said)
    return Wanted(uri=paths[0][0], is_folder=paths[0][1], literals=literals, about=_about(properties))


def _about(properties: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, name in (("displayName", "display_name"), ("description", "description")):
        text = properties.get(key)
        if text is None:
            continue
        if not isinstance(text, str) or len(text) > _LONGEST_ABOUT:
            said = f"properties.{key}: expected text of at most {_LONGEST_ABOUT} characters"
            raise Refusal(400, "wrong-input", said)
        found[name] = text
    tags = properties.get("tags")
    if tags is not None:
        is_plain = isinstance(tags, dict) and len(tags) <= _MOST_TAGS
        if not is_plain or not all(isinstance(v, str) and len(v) <= _LONGEST_ABOUT for v in tags.values()):
            raise Refusal(400, "wrong-input", "properties.tags: expected an object of short texts")
        found["tags"] = tags
    return found


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, "wrong-input", f"{where}: expected an object")
    return value


def as_json(job: Job) -> dict[str, Any]:
    """A job, in Azure ML's shape: how it is, how far, what failed; no path of this machine."""
    asked, status, ended = job.asked, job.status, job.ended or {}
    lines = ended.get("lines") or job.progress or {}
    counts = {key: lines.get(key, 0) for key in ("total", "completed", "failed", "skipped")}
    over = counts["completed"] + counts["failed"] + counts["skipped"]
    output = job.output
    return {
        "id": f"/jobs/{job.name}",
        "name": job.name,
        "properties": {
            "status": status,
            "endpoint": asked["endpoint"],
            "deployment": asked["deployment"]["name"],
            "data": asked["shown"],
            "displayName": asked["about"].get("display_name"),
            "description": asked["about"].get("description"),
            "tags": asked["about"].get("tags") or {},
            "created": _time(asked["created"]),
            "ended": _time(ended.get("ended")),
            "lines": counts,
            "progress": round(over / counts["total"], 4) if counts["total"] else 0.0,
            "failures": ended.get("failures", {}),
            "errors": ended.get("errors", []),
            "error": ended.get("error"),
            "metrics": ended.get("metrics", {}),
            "usage": ended.get("usage", {}),
            "cost": ended.get("cost"),
            "seconds": ended.get("seconds"),
            "output": None if output is None else {"name": output.name, "uri": f"/jobs/{job.name}/output"},
        },
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
