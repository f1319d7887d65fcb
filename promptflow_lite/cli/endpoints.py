"""What do `pf endpoint` and `pf deployment` do, and how is an endpoint shown?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptflow_lite.cli import rollout
from promptflow_lite.cli.console import emit, emit_json, neutral, say, table
from promptflow_lite.cli.endpoint_keys import by_name
from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.serving.endpoints import changes, files
from promptflow_lite.serving.endpoints.files import Asked
from promptflow_lite.serving.endpoints.logs import follow, tail
from promptflow_lite.serving.endpoints.spec import EndpointSpec
from promptflow_lite.serving.endpoints.store import Endpoints, Kept
from promptflow_lite.serving.kept import no_deployment
from promptflow_lite.settings import settings

__all__ = [
    "create",
    "deploy",
    "described",
    "described_deployment",
    "get",
    "invoke",
    "kept_endpoints",
    "log_goes_on",
    "log_of",
    "say_shares",
    "show",
    "show_all",
    "undeploy",
    "update",
]

_LOOK_S = 0.25
_LONGEST_S = 86_400.0
"""The endpoint itself ends a request in time; 24 hours are the most it may allow."""


def kept_endpoints() -> Endpoints:
    """The endpoints of this home."""
    return Endpoints(settings().home)


def get(name: str) -> Kept:
    """One of them."""
    return kept_endpoints().get(name)


def create(file: Path | None, typed: Mapping[str, str], *, force: bool = False) -> tuple[Kept, list[str]]:
    """Make an endpoint and the deployments of its file; it and its keys."""
    asked, inner = files.endpoint(file, typed)
    _note(asked, *inner)
    rollout.read_rules(asked, file)
    if "name" not in asked.body:
        raise UserError("which name shall the endpoint have? Say --name NAME", code="missing-option")
    rollout.hold(EndpointSpec(name=asked.body["name"]), asked.body.get("traffic"), asked=asked, force=force)
    kept, made = changes.create(kept_endpoints(), asked)
    try:
        for deployment in inner:
            changes.deploy(kept, deployment)
        _split(kept, asked)
    except PromptflowError:
        kept_endpoints().delete(kept.name)  # an endpoint is made whole, or not at all
        raise
    return kept, made


def update(
    file: Path | None,
    typed: Mapping[str, str],
    *,
    traffic: Mapping[str, int] | None = None,
    mirror: Mapping[str, int] | None = None,
    force: bool = False,
) -> Kept:
    """Change an endpoint, and the deployments that stand in its file."""
    asked, inner = files.endpoint(file, typed)
    _note(asked, *inner)
    rollout.read_rules(asked, file)
    if "name" not in asked.body:
        raise UserError("which endpoint? Say --name NAME, or write it into the file", code="missing-option")
    kept = get(asked.body["name"])
    wanted = asked.body.get("traffic") if traffic is None else traffic
    rollout.hold(kept.read(), wanted, asked=asked, force=force)
    for deployment in inner:
        deploy(kept, deployment, deployment.body["name"])
    if traffic is not None:
        asked.body["traffic"] = traffic
    if mirror is not None:
        asked.body["mirror_traffic"] = mirror
    before = kept.read()
    changed = changes.configure(kept, asked)
    if changed.auth_mode != before.auth_mode and kept.served() is not None:
        say("auth_mode: in effect when the endpoint is served the next time")
    changes.await_change(kept, changed.change)
    return kept


def deploy(
    kept: Kept,
    asked: Asked,
    name: str,
    *,
    all_traffic: bool = False,
    wait: bool = True,
    force: bool = False,
) -> None:
    """Deploy a flow, see that it serves, and give it the traffic it shall have."""
    rollout.hold(kept.read(), {name: 100} if all_traffic else None, force=force)
    before, after = changes.deploy(kept, asked, name)
    did = "updated" if name in before.deployments else "created"
    if after.deployments[name].model:
        say(neutral(f"{after.deployments[name].model} is {after.deployments[name].flow}"))
    found = None
    if wait:
        found = changes.await_deployment(kept, name, after.deployments[name].revision)
    if found is not None and found["state"] == "Failed":
        changes.await_change(kept, changes.undeploy(kept, name, back_to=before).change)
        stays = "the one before serves on" if name in before.deployments else "it is not kept"
        raise PromptflowError(
            f"deployment {name!r} does not start: {found['message']}",
            code="deployment-failed",
            hint=f"{stays}; pf deployment get-logs -n {name} -e {kept.name}  may say more",
        )
    if all_traffic:
        changes.await_change(kept, changes.give_all(kept, name).change)
    if found is not None:
        say(f"deployment {name!r}: {did}, and serves")
    elif kept.served() is None:
        say(f"deployment {name!r}: {did}; pf endpoint serve {kept.name}  serves it")
    else:
        say(f"deployment {name!r}: {did}, and is being started")


def undeploy(kept: Kept, name: str) -> None:
    """Delete a deployment."""
    changes.await_change(kept, changes.undeploy(kept, name).change)


def log_of(kept: Kept, name: str, lines: int) -> str:
    """The last lines of a deployment's log, also of one that is gone."""
    if not kept.log(name).exists():
        described_deployment(kept, name)
    return tail(kept.log(name), lines)


def log_goes_on(kept: Kept, name: str) -> Iterator[str]:
    """What is added to a deployment's log from now on."""
    return follow(kept.log(name), lambda: time.sleep(_LOOK_S))


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
        "data_collector": deployment.data_collector and asdict(deployment.data_collector),
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


def show_all(*, as_json: bool) -> None:
    """Print the endpoints of this home."""
    found = [described(kept) for kept in kept_endpoints().all()]
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


def invoke(kept: Kept, *, request_file: Path | None, inputs: Mapping[str, str], to: str | None) -> int:
    """Call a served endpoint; print the answer."""
    import httpx

    served = kept.served()
    if not served:
        hint = f"pf endpoint serve {kept.name}  serves it"
        raise UserError(f"endpoint {kept.name!r} is not served", code="endpoint-not-served", hint=hint)
    body = json.dumps(inputs).encode() if request_file is None else _read(request_file)
    headers = {"content-type": "application/json", "api-key": served["key"]}
    if to is not None:
        headers["azureml-model-deployment"] = to
    try:
        answer = httpx.post(
            f"{served['url']}/score", content=body, headers=headers, timeout=_LONGEST_S, trust_env=False
        )
    except httpx.HTTPError as error:
        raise PromptflowError(f"{served['url']}: {error}", code="endpoint-silent") from error
    if answer.is_success:
        emit(neutral(answer.text))
        return 0
    failed = answer.json()["error"]
    print(neutral(f"{answer.status_code} {failed['code']}: {failed['message']}"), file=sys.stderr)
    return 1


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}", code="unreadable-file") from error


def _split(kept: Kept, asked: Asked) -> None:
    changes.split(kept, traffic=asked.body.get("traffic"), mirror=asked.body.get("mirror_traffic"))


def _note(*asked: Asked) -> None:
    for one in asked:
        for note in one.notes:
            say(neutral(note))
