"""What do `pf endpoint` and `pf deployment` do?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from promptflow_lite.cli import rollout
from promptflow_lite.cli.console import emit, neutral, say, say_safely
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
    "get",
    "invoke",
    "kept_endpoints",
    "log_goes_on",
    "log_of",
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
        say_safely(f"{after.deployments[name].model} is {after.deployments[name].flow}")
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
    if not kept.log(name).exists() and name not in kept.read().deployments:
        raise no_deployment(kept.read(), name)
    return tail(kept.log(name), lines)


def log_goes_on(kept: Kept, name: str) -> Iterator[str]:
    """What is added to a deployment's log from now on."""
    return follow(kept.log(name), lambda: time.sleep(_LOOK_S))


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
            say_safely(note)
