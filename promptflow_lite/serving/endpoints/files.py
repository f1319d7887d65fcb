"""What do endpoint.yml and deployment.yml ask for? Azure ML's keys, with our few beside them.

Azure ML: CLI (v2) managed online endpoint and deployment YAML schemas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.source import Document, KeyPath
from promptflow_lite.serving.asked import Asked, Complaints, Keys, read, resolved
from promptflow_lite.serving.endpoints.spec import (
    Affinity,
    Collect,
    Collections,
    DataCollector,
    Probe,
    RequestSettings,
    Rollout,
    RunGate,
)
from promptflow_lite.serving.endpoints.steps import seconds_of
from promptflow_lite.serving.fields import (
    MAPPING,
    NAMED,
    OF_DEPLOYMENTS,
    OF_ENDPOINTS,
    Kinds,
    is_number,
    is_text,
    is_whole,
)

__all__ = ["Asked", "deployment", "endpoint"]

_AZURES_ENDPOINT = ("compute", "identity", "kind", "location", "properties", "public_network_access", "type")
_AZURES_DEPLOYMENT = (
    "app_insights_enabled",
    "code_configuration",
    "egress_public_network_access",
    "environment",
    "instance_type",
    "model_mount_path",
    "properties",
    "resources",
    "scale_settings",
    "startup_probe",
    "type",
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_OURS = ("authorization", "api-key", "host", "content-type", "content-length", "azureml-model-deployment")


def endpoint(path: Path | None, changes: Mapping[str, str]) -> tuple[Asked, list[Asked]]:
    """What an endpoint's file asks for, and each of the deployments that stand in it.

    Args:
        path: the file, if there is one.
        changes: `--set` texts by key, as in `traffic.blue`.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = read(path, changes)
    found = Complaints(document, _OF_ENDPOINT)
    body = found.mapping(document.data, ())
    inner = []
    for at, item in enumerate(body.pop("deployments", [])):
        here = Complaints(document, _OF_DEPLOYMENT, found.all)
        part = here.mapping(item, ("deployments", at))
        if "name" not in part and isinstance(item, dict):
            here.add("missing-key", "a deployment needs a name", ("deployments", at))
        inner.append(Asked(_under(document, at), resolved(part, path), here.notes()))
    if found.all:
        raise FlowError(found.all)
    return Asked(document, body, found.notes()), inner


def deployment(path: Path | None, changes: Mapping[str, str]) -> Asked:
    """What a deployment's file asks for.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = read(path, changes)
    found = Complaints(document, _OF_DEPLOYMENT)
    body = found.mapping(document.data, ())
    if found.all:
        raise FlowError(found.all)
    return Asked(document, resolved(body, path), found.notes())


def _under(document: Document, at: int) -> Document:
    """The document of which a deployment's keys are the top."""
    prefix: KeyPath = ("deployments", at)
    marks = {path[2:]: mark for path, mark in document.marks.items() if path[:2] == prefix}
    return Document(document.file, document.data["deployments"][at], marks)


_REFUSED = {
    "gate": "a gate is the endpoint's: 'gate: {rules: gate.yaml, runs: {blue: RUN, green: RUN}}'",
}


def _is_percents(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and is_whole(percent, 0, 100) for name, percent in value.items()
    )


def _is_rising(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(is_whole(percent, 1, 100) for percent in value)
        and all(low < high for low, high in pairwise(value))
    )


_PERCENTS = ("whole percents by deployment, as in {blue: 90, green: 10}", _is_percents)
_SECONDS = ("seconds from 0.1 to 3600", lambda v: is_number(v, 0.1, 3600))
_TIMES = ("a whole number from 1 to 1000", lambda v: is_whole(v, 1, 1000))
_ENDPOINT: Kinds = {
    **OF_ENDPOINTS,
    "traffic": _PERCENTS,
    "mirror_traffic": _PERCENTS,
    "affinity": ("a mapping with header", Affinity),
    "rollout": ("a mapping", Rollout),
    "gate": ("a mapping with rules and runs", RunGate),
    "deployments": ("a list of deployments", lambda v: isinstance(v, list)),
}
_DEPLOYMENT: Kinds = {
    **OF_DEPLOYMENTS,
    "environment_variables": MAPPING,
    "request_settings": ("a mapping", RequestSettings),
    "liveness_probe": ("a mapping", Probe),
    "readiness_probe": ("a mapping", Probe),
    "instance_count": ("a whole number from 1 to 64", lambda v: is_whole(v, 1, 64)),
    "data_collector": ("a mapping", DataCollector),
}
_PARTS: dict[type, Kinds] = {
    RequestSettings: {
        "request_timeout_ms": ("milliseconds from 1", lambda v: is_whole(v, 1, 86_400_000)),
        "max_concurrent_requests_per_instance": ("a whole number from 1", lambda v: is_whole(v, 1, 100_000)),
        "max_queue_wait_ms": ("milliseconds from 0", lambda v: is_whole(v, 0, 86_400_000)),
    },
    Probe: {
        "initial_delay": ("seconds from 0 to 3600", lambda v: is_number(v, 0, 3600)),
        "period": _SECONDS,
        "timeout": _SECONDS,
        "success_threshold": _TIMES,
        "failure_threshold": _TIMES,
    },
    Affinity: {
        "header": (
            "the name of a header that is none of ours",
            lambda v: is_text(v) and bool(_HEADER.fullmatch(v)) and v.lower() not in _OURS,
        ),
    },
    DataCollector: {
        "collections": ("a mapping of model_inputs and model_outputs", Collections),
        "sampling_rate": ("a part from 0 to 1, such as 0.1", lambda v: is_number(v, 0, 1)),
        "rolling_rate": (
            "day, hour or minute",
            lambda v: is_text(v) and v.lower() in ("day", "hour", "minute"),
        ),
        "keep_days": ("days from 0 (for ever)", lambda v: is_number(v, 0, 100_000)),
        "keep_mb": ("megabytes from 1, or 0 for any", lambda v: is_whole(v, 0, 100_000_000)),
    },
    Collections: {"model_inputs": ("a mapping", Collect), "model_outputs": ("a mapping", Collect)},
    Collect: {"enabled": ("true or false", lambda v: str(v).lower() in ("true", "false"))},
    RunGate: {
        "rules": ("the path of a gate file", is_text),
        "runs": (
            "runs by deployment, as in {blue: run_1, green: run_2}",
            lambda v: isinstance(v, dict) and all(isinstance(item, str) for item in v.values()),
        ),
    },
    Rollout: {
        "to": NAMED,
        "steps": ("rising percents, as in [10, 50, 100]", _is_rising),
        "every": ("a time such as 10m or 2h", lambda v: is_text(v) and seconds_of(v) is not None),
        "rules": ("the path of a gate file", is_text),
        "max_error_rate": ("a part from 0 to 1, such as 0.05", lambda v: is_number(v, 0, 1)),
        "min_requests": ("a whole number from 1", lambda v: is_whole(v, 1, 1_000_000)),
        "window_s": ("seconds from 1 to 86400", lambda v: is_number(v, 1, 86_400)),
    },
}
_AZURES_OF_PARTS: dict[type, tuple[str, ...]] = {
    Collect: ("client_id", "data"),
    Collections: ("request", "response"),
}
_NEEDED: dict[type, tuple[str, ...]] = {Affinity: ("header",), RunGate: ("rules",)}
_OF_ENDPOINT = Keys(
    what="an endpoint",
    kinds=_ENDPOINT,
    azures=_AZURES_ENDPOINT,
    refused=_REFUSED,
    parts=_PARTS,
    needed=_NEEDED,
)
_OF_DEPLOYMENT = Keys(
    what="a deployment",
    kinds=_DEPLOYMENT,
    azures=_AZURES_DEPLOYMENT,
    refused=_REFUSED,
    parts=_PARTS,
    needed=_NEEDED,
    azures_of_parts=_AZURES_OF_PARTS,
)
