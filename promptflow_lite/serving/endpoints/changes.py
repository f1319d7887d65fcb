"""What does a verb do to an endpoint? Create, change, deploy, undeploy; and the wait until it is so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from promptflow_lite.errors import PromptflowError, UserError
from promptflow_lite.serving import keys
from promptflow_lite.serving.endpoints.files import Asked
from promptflow_lite.serving.endpoints.spec import DeploymentSpec, EndpointSpec
from promptflow_lite.serving.endpoints.store import Endpoints, Kept
from promptflow_lite.serving.kept import no_deployment
from promptflow_lite.serving.loaded import loaded

__all__ = [
    "await_change",
    "await_deployment",
    "configure",
    "create",
    "deploy",
    "give_all",
    "split",
    "undeploy",
]

_LOOK_S = 0.1
_CHANGE_S = 10.0
_DEPLOYMENT_S = 620.0
_SHARES = ("traffic", "mirror_traffic")


def create(endpoints: Endpoints, asked: Asked) -> tuple[Kept, list[str]]:
    """A new endpoint without deployments, and its two keys, which are kept as hashes.

    Raises:
        UserError: there is one of that name.
    """
    body = {key: value for key, value in asked.body.items() if key not in _SHARES}
    spec = EndpointSpec.of_json(body)
    kept = endpoints.create(spec.name, spec.to_json())
    return kept, keys.make(kept.keys)


def configure(kept: Kept, asked: Asked) -> EndpointSpec:
    """The endpoint with what a file asks for; what it leaves out stays."""

    def how(spec: EndpointSpec) -> EndpointSpec:
        changed = EndpointSpec.of_json({**asdict(spec), **asked.body, "name": spec.name})
        return _by_hand(changed) if "traffic" in asked.body else changed

    return kept.change(how)


def split(
    kept: Kept, *, traffic: Mapping[str, int] | None = None, mirror: Mapping[str, int] | None = None
) -> EndpointSpec:
    """The endpoint with other percents.

    Raises:
        UserError: they cannot be (code `bad-traffic`).
    """

    def how(spec: EndpointSpec) -> EndpointSpec:
        return replace(
            spec,
            traffic=spec.traffic if traffic is None else dict(traffic),
            mirror_traffic=spec.mirror_traffic if mirror is None else dict(mirror),
        )

    return kept.change(how)


def give_all(kept: Kept, name: str) -> EndpointSpec:
    """The endpoint of which one deployment has all traffic."""

    def how(spec: EndpointSpec) -> EndpointSpec:
        mirrored = {n: percent for n, percent in spec.mirror_traffic.items() if n != name}
        return _by_hand(replace(spec, traffic={name: 100}, mirror_traffic=mirrored))

    return kept.change(how)


def _by_hand(spec: EndpointSpec) -> EndpointSpec:
    """The endpoint whose traffic someone has set: a roll-out ends there."""
    if spec.progress is None or not spec.progress.is_under_way:
        return spec
    return replace(spec, progress=replace(spec.progress, state="aborted", why="the traffic was set by hand"))


def deploy(kept: Kept, asked: Asked, name: str | None = None) -> tuple[EndpointSpec, EndpointSpec]:
    """The endpoint before and after a deployment was made or changed; its flow is checked and copied.

    Args:
        kept: the endpoint.
        asked: what the deployment shall be; of one that is there, what is left out stays.
        name: its name, over the file's.

    Raises:
        UserError: it has no name or no flow, or the flow is wrong.
        PromptflowError: the registry of its model cannot be reached.
    """
    name = name or asked.body.get("name")
    if name is None:
        raise UserError("which name shall the deployment have? Say --name NAME", code="missing-option")
    before = kept.read()
    there = asdict(before.deployments[name]) if name in before.deployments else {}
    wanted = _merged(there, asked.body)
    variables = wanted.get("environment_variables")
    body = loaded(kept, name, asked, there, wanted, environment_variables=variables)
    made = DeploymentSpec.of_json({**body, "name": name})

    def how(spec: EndpointSpec) -> EndpointSpec:
        fresh = replace(made, revision=spec.change + 1)
        return replace(spec, deployments={**spec.deployments, name: fresh})

    return before, kept.change(how)


def _merged(before: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("request_settings", "liveness_probe", "readiness_probe", "data_collector")
    merged = {key: {**(before.get(key) or {}), **body[key]} for key in parts if key in body}
    rest = {key: value for key, value in body.items() if key not in (*parts, "endpoint_name", "name")}
    return {**before, **rest, **merged}


def undeploy(kept: Kept, name: str, *, back_to: EndpointSpec | None = None) -> EndpointSpec:
    """The endpoint without a deployment, or with the one of that name as it was before.

    Raises:
        UserError: there is none, or it has traffic (code `deployment-has-traffic`).
    """

    def how(spec: EndpointSpec) -> EndpointSpec:
        if back_to is not None and name in back_to.deployments:
            return replace(spec, deployments={**spec.deployments, name: back_to.deployments[name]})
        if name not in spec.deployments:
            raise no_deployment(spec, name)
        shares = {key: getattr(spec, key).get(name, 0) for key in _SHARES}
        if any(shares.values()):
            said = " and ".join(f"{percent} percent of {key}" for key, percent in shares.items() if percent)
            raise UserError(
                f"deployment {name!r} has {said}",
                code="deployment-has-traffic",
                hint=f"pf endpoint update --name {spec.name} --traffic ...  gives them to another first",
            )
        left = {n: deployment for n, deployment in spec.deployments.items() if n != name}
        traffic = {n: percent for n, percent in spec.traffic.items() if n != name}
        mirrored = {n: percent for n, percent in spec.mirror_traffic.items() if n != name}
        return replace(spec, deployments=left, traffic=traffic, mirror_traffic=mirrored)

    return kept.change(how)


def await_change(kept: Kept, change: int) -> bool:
    """Wait until the serving process has taken up a change; whether one serves.

    Raises:
        PromptflowError: it does not (code `endpoint-silent`).
    """
    until = time.monotonic() + _CHANGE_S
    while (served := kept.served()) is not None:
        if served.get("change", -1) >= change:
            return True
        if time.monotonic() > until:
            raise _silent(kept, _CHANGE_S)
        time.sleep(_LOOK_S)
    return False


def await_deployment(kept: Kept, name: str, revision: int) -> dict[str, Any] | None:
    """What the serving process says of a deployment once it has started it or failed to.

    `None` where no process serves the endpoint.

    Raises:
        PromptflowError: it says nothing for too long (code `endpoint-silent`).
    """
    until = time.monotonic() + _DEPLOYMENT_S
    while (served := kept.served()) is not None:
        found: dict[str, Any] = served.get("deployments", {}).get(name, {})
        if found.get("revision") == revision and found["state"] != "Starting":
            return found
        if time.monotonic() > until:
            raise _silent(kept, _DEPLOYMENT_S)
        time.sleep(_LOOK_S)
    return None


def _silent(kept: Kept, seconds: float) -> PromptflowError:
    message = f"the process that serves endpoint {kept.name!r} has not taken that up in {seconds:g} s"
    return PromptflowError(message, code="endpoint-silent", hint="the change is kept")
