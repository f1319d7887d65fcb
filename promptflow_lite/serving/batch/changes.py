"""What does a verb do to a batch endpoint? Create, change, deploy, undeploy; ask for a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError, UserError
from promptflow_lite.flow.spec import Flow
from promptflow_lite.serving import keys
from promptflow_lite.serving.asked import Asked
from promptflow_lite.serving.batch import job
from promptflow_lite.serving.batch.job import Job
from promptflow_lite.serving.batch.spec import BatchDeploymentSpec, BatchEndpointSpec, Defaults
from promptflow_lite.serving.batch.store import BatchEndpoints, Kept, not_found
from promptflow_lite.serving.deployment import flow_of
from promptflow_lite.serving.loaded import loaded

__all__ = ["ask", "chosen", "configure", "create", "deploy", "set_default", "sweep", "undeploy"]


def create(endpoints: BatchEndpoints, asked: Asked) -> tuple[Kept, list[str]]:
    """A new endpoint without deployments, and its two keys, which are kept as hashes.

    Raises:
        UserError: there is one of that name.
    """
    body = {key: value for key, value in asked.body.items() if key != "defaults"}
    spec = BatchEndpointSpec.of_json(body)
    kept = endpoints.create(spec.name, spec.to_json())
    return kept, keys.make(kept.keys)


def configure(kept: Kept, asked: Asked) -> BatchEndpointSpec:
    """The endpoint with what a file asks for; what it leaves out stays.

    Raises:
        UserError: its default is no deployment of it.
    """

    def how(spec: BatchEndpointSpec) -> BatchEndpointSpec:
        before = asdict(spec)
        jobs = {**before["jobs"], **asked.body.get("jobs", {})}
        return BatchEndpointSpec.of_json({**before, **asked.body, "jobs": jobs, "name": spec.name})

    return kept.change(how)


def set_default(kept: Kept, name: str) -> BatchEndpointSpec:
    """The endpoint of which one deployment answers callers that name none."""
    return kept.change(lambda spec: replace(spec, defaults=Defaults(deployment_name=name)))


def deploy(kept: Kept, asked: Asked, name: str) -> BatchEndpointSpec:
    """The endpoint with a deployment made or changed; its flow is checked and copied.

    Args:
        kept: the endpoint.
        asked: what the deployment shall be; of one that is there, what is left out stays.
        name: its name.

    Raises:
        UserError: it has no flow, or the flow is wrong.
        PromptflowError: the registry of its model cannot be reached.
    """
    spec = kept.read()
    there = asdict(spec.deployments[name]) if name in spec.deployments else {}
    wanted = _merged(there, asked.body)
    body = loaded(
        kept,
        name,
        asked,
        there,
        wanted,
        environment_variables=wanted["settings"].get("environment_variables"),
        check=lambda flow: _check_mapping(asked, flow, wanted.get("column_mapping", {})),
    )
    made = BatchDeploymentSpec.of_json({**body, "name": name})
    return kept.change(lambda spec: replace(spec, deployments={**spec.deployments, name: made}))


def _merged(before: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in body.items() if key not in ("settings", "endpoint_name", "name")}
    old, new = before.get("settings", {}), body.get("settings", {})
    settings = {**old, **new}
    if "retry_settings" in new:
        settings["retry_settings"] = {**old.get("retry_settings", {}), **new["retry_settings"]}
    if "logging_level" in new:
        settings["logging_level"] = new["logging_level"].lower()
    return {**before, **rest, "settings": settings}


def _check_mapping(asked: Asked, flow: Flow, mapping: Mapping[str, Any]) -> None:
    unknown = [name for name in mapping if name not in flow.inputs]
    if unknown:
        there = ", ".join(flow.inputs)
        said = f"the flow has no input {unknown[0]!r}"
        raise asked.refuse("column_mapping", said, "bad-column-mapping", f"there are: {there}")


def undeploy(kept: Kept, name: str) -> BatchEndpointSpec:
    """The endpoint without a deployment; its jobs go on.

    Raises:
        UserError: there is none, or it is the default (code `deployment-is-default`).
    """

    def how(spec: BatchEndpointSpec) -> BatchEndpointSpec:
        if name not in spec.deployments:
            raise not_found(spec, name)
        left = {n: deployment for n, deployment in spec.deployments.items() if n != name}
        if spec.defaults is not None and spec.defaults.deployment_name == name:
            if left:
                raise UserError(
                    f"deployment {name!r} is the default of {spec.name!r}",
                    code="deployment-is-default",
                    hint=f"pf batch-endpoint update --name {spec.name} --defaults OTHER  makes another so",
                )
            return replace(spec, deployments=left, defaults=None)
        return replace(spec, deployments=left)

    return kept.change(how)


def chosen(spec: BatchEndpointSpec, name: str | None) -> BatchDeploymentSpec:
    """The deployment that a caller means.

    Raises:
        UserError: there is none of that name, or the endpoint has no default (code `no-default`).
    """
    if name is None:
        name = spec.default
    if name is None:
        known = ", ".join(spec.deployments) or "none"
        raise UserError(
            f"batch endpoint {spec.name!r} has no default deployment; there are: {known}",
            code="no-default",
            hint=f"pf batch-endpoint update --name {spec.name} --defaults NAME",
        )
    if name not in spec.deployments:
        raise not_found(spec, name)
    return spec.deployments[name]


def ask(
    kept: Kept,
    deployment: BatchDeploymentSpec,
    data: Path,
    *,
    name: str | None = None,
    shown: str | None = None,
    literals: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    folders: Sequence[str] = (),
) -> Job:
    """A job over the data; it begins when the endpoint has room.

    Args:
        kept: the endpoint.
        deployment: who runs it.
        data: a file, or a folder of files; absolute.
        name: the job's; one that nobody guesses without it.
        shown: what the sender calls the data.
        literals: inputs that are the same for all rows.
        about: `display_name`, `description`, `tags`, for people.
        folders: those that a stranger's path must lie in; none for the owner's.

    Raises:
        InputError: a literal is no input of the flow, or would be read as a reference.
    """
    given = dict(literals or {})
    if given:
        inputs = flow_of(deployment.source, variants=deployment.variants, init=deployment.init).inputs
        for key, value in given.items():
            if key not in inputs:
                there = ", ".join(inputs)
                raise InputError(f"the flow has no input {key!r}; there are: {there}", code="unknown-input")
            if isinstance(value, str) and "${" in value:
                raise InputError(f"{key}: a literal has no reference in it", code="bad-column-mapping")
    return job.create(
        kept.jobs_folder,
        name or job.new_name(),
        endpoint=kept.name,
        deployment=deployment,
        data=data,
        shown=shown or str(data),
        literals=given,
        about=about or {},
        folders=folders,
    )


def sweep(kept: Kept) -> None:
    """Remove copies of flows that no deployment and no job is loaded from."""
    used = [d.source for d in kept.read().deployments.values()]
    kept.sweep([*used, *(job.asked["deployment"]["source"] for job in kept.jobs())])
