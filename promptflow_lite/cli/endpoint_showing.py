"""How is an endpoint shown, and a deployment of it? As JSON with Azure ML's names, or for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from promptflow_lite.cli import rollout
from promptflow_lite.cli.console import emit, emit_json, neutral, say, table
from promptflow_lite.cli.endpoint_keys import by_name
from promptflow_lite.serving.endpoints.store import Kept
from promptflow_lite.serving.kept import no_deployment

__all__ = ["described", "described_deployment", "say_shares", "show", "show_all"]


def described(kept: Kept, *, keys: Sequence[str] = ()) -> dict[str, Any]:
    """An endpoint as JSON; names as in Azure ML."""
    spec, served = kept.read(), kept.served()
    url = (served or {}).get("url")
    return {
        "name": spec.name,
        "description": spec.description,
        "tags": spec.tags,
        "auth_mode": spec.auth_mode,
        "traffic": {name: spec.traffic.get(name, 0) for name in spec.deployments},
        "mirror_traffic": dict(spec.mirror_traffic),
        "affinity": spec.affinity and {"header": spec.affinity.header},
        "rollout": spec.progress and asdict(spec.progress),
        "scoring_uri": f"{url}/score" if url else None,
        "deployments": [*spec.deployments],
        **by_name(keys),
    }


def described_deployment(kept: Kept, name: str) -> dict[str, Any]:
    """A deployment as JSON, without the values of its variables.

    Raises:
        UserError: there is none of that name.
    """
    spec, served = kept.read(), kept.served()
    if name not in spec.deployments:
        raise no_deployment(spec, name)
    deployment = spec.deployments[name]
    now = (served or {}).get("deployments", {}).get(name, {"state": "Starting"})
    settings = deployment.request_settings
    return {
        "name": name,
        "endpoint_name": kept.name,
        "state": "Not served" if served is None else now["state"],
        "message": now.get("message", ""),
        "traffic": spec.traffic.get(name, 0),
        "mirror_traffic": spec.mirror_traffic.get(name, 0),
        "flow": deployment.flow,
        "model": deployment.model,
        "description": deployment.description,
        "tags": deployment.tags,
        "variants": deployment.variants,
        "connections": deployment.connections,
        "environment_variables": dict.fromkeys(deployment.environment_variables, "***"),
        "instance_count": deployment.instance_count,
        "data_collector": asdict(deployment.data_collector) if deployment.data_collector else {},
        "request_timeout_ms": settings.request_timeout_ms,
        "max_concurrent_requests_per_instance": settings.max_concurrent_requests_per_instance,
        "max_queue_wait_ms": settings.max_queue_wait_ms,
        "processes": now.get("processes", []),
        "restarts": now.get("restarts", 0),
    }


def show(kept: Kept, *, as_json: bool) -> None:
    """Print an endpoint and its deployments."""
    found = described(kept)
    if as_json:
        emit_json(found)
        return
    emit(f"{'name':<12}{found['name']}")
    if found["description"]:
        emit(f"{'description':<12}{neutral(found['description'])}")
    emit(f"{'auth_mode':<12}{found['auth_mode']}")
    emit(f"{'served at':<12}{found['scoring_uri'] or f'nowhere; pf endpoint serve {kept.name}  serves it'}")
    if found["rollout"]:
        rollout.show(kept, emit)
    if found["deployments"]:
        emit("")
        rows = [described_deployment(kept, name) for name in found["deployments"]]
        columns = ("name", "state", "traffic", "mirror_traffic", "flow")
        table(columns, [[row[column] for column in columns] for row in rows])


def show_all(endpoints: Iterable[Kept], *, as_json: bool) -> None:
    """Print endpoints."""
    found = [described(kept) for kept in endpoints]
    if as_json:
        emit_json(found)
        return
    rows = [
        (e["name"], e["scoring_uri"] or "", _shares(e["traffic"]), ", ".join(e["deployments"])) for e in found
    ]
    table(("name", "served at", "traffic", "deployments"), rows)


def _shares(traffic: Mapping[str, int]) -> str:
    """Percents for people."""
    return " ".join(f"{name}={percent}" for name, percent in traffic.items() if percent)


def say_shares(kept: Kept) -> None:
    """Say who gets what."""
    spec = kept.read()
    mirrored = f"; mirrored: {_shares(spec.mirror_traffic)}" if any(spec.mirror_traffic.values()) else ""
    say(f"endpoint {kept.name!r}: traffic {_shares(spec.traffic) or 'to nobody'}{mirrored}")
