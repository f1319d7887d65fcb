"""How is a batch endpoint shown, and a deployment of it? As JSON with Azure ML's names, or for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from promptflow_lite.cli.console import emit, emit_json, neutral, table
from promptflow_lite.cli.endpoint_keys import by_name
from promptflow_lite.serving.batch import changes
from promptflow_lite.serving.batch.store import Kept

__all__ = ["described", "described_deployment", "show", "show_all"]


def described(kept: Kept, *, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A batch endpoint as JSON; names as in Azure ML."""
    spec, served = kept.read(), kept.served()
    url = (served or {}).get("url")
    return {
        "name": spec.name,
        "description": spec.description,
        "tags": spec.tags,
        "auth_mode": spec.auth_mode,
        "defaults": {"deployment_name": spec.default},
        "scoring_uri": f"{url}/jobs" if url else None,
        "deployments": [*spec.deployments],
        "data_folders": list(spec.data_folders),
        "jobs": asdict(spec.jobs),
        **by_name(keys),
    }


def described_deployment(kept: Kept, name: str) -> dict[str, Any]:
    """A deployment as JSON, without the values of its variables.

    Raises:
        UserError: there is none of that name.
    """
    spec = kept.read()
    deployment = changes.chosen(spec, name)
    body = asdict(deployment)
    variables = dict.fromkeys(deployment.settings.environment_variables, "***")
    shown = {key: body[key] for key in ("flow", "description", "tags", "variants", "connections")}
    return {
        "name": name,
        "endpoint_name": kept.name,
        "is_default": spec.default == name,
        "model": deployment.model,
        **shown,
        "column_mapping": deployment.column_mapping,
        "resources": body["resources"],
        "settings": {**body["settings"], "environment_variables": variables},
    }


def show(kept: Kept, *, as_json: bool) -> None:
    """Print a batch endpoint and its deployments."""
    found = described(kept)
    if as_json:
        emit_json(found)
        return
    emit(f"{'name':<14}{found['name']}")
    if found["description"]:
        emit(f"{'description':<14}{neutral(found['description'])}")
    emit(f"{'auth_mode':<14}{found['auth_mode']}")
    where = found["scoring_uri"] or f"nowhere; pf batch-endpoint serve {kept.name}  serves it"
    emit(f"{'served at':<14}{where}")
    emit(f"{'default':<14}{found['defaults']['deployment_name'] or 'none'}")
    emit(f"{'data_folders':<14}{neutral(', '.join(found['data_folders'])) or 'none'}")
    emit(f"{'jobs':<14}{', '.join(f'{key} {value:,}' for key, value in found['jobs'].items())}")
    if found["deployments"]:
        emit("")
        rows = [described_deployment(kept, name) for name in found["deployments"]]
        table(
            ("name", "output_action", "flow"),
            [(d["name"], d["settings"]["output_action"], d["flow"]) for d in rows],
        )


def show_all(endpoints: Iterable[Kept], *, as_json: bool) -> None:
    """Print batch endpoints."""
    found = [described(kept) for kept in endpoints]
    if as_json:
        emit_json(found)
        return
    rows = [
        (e["name"], e["scoring_uri"], e["defaults"]["deployment_name"], ", ".join(e["deployments"]))
        for e in found
    ]
    table(("name", "served at", "default", "deployments"), rows)
