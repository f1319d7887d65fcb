"""What do batch_endpoint.yml and batch_deployment.yml ask for? Azure ML's keys, with our few beside them.

Azure ML: CLI (v2) batch endpoint and batch deployment YAML schemas. Settings that older files have at the top
of a deployment are taken there too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.source import Document
from promptflow_lite.serving.asked import Asked, Complaints, Keys, read, resolved
from promptflow_lite.serving.batch.spec import Defaults, Jobs, Resources, RetrySettings, Settings
from promptflow_lite.serving.fields import (
    MAPPING,
    NAMED,
    OF_DEPLOYMENTS,
    OF_ENDPOINTS,
    Kinds,
    is_mapping,
    is_number,
    is_text,
    is_whole,
)

__all__ = ["deployment", "endpoint"]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.(csv|jsonl)")


def endpoint(path: Path | None, changes: Mapping[str, str]) -> Asked:
    """What a batch endpoint's file asks for; its data folders are absolute.

    Args:
        path: the file, if there is one.
        changes: `--set` texts by key, as in `jobs.max_running`.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = read(path, changes)
    found = Complaints(document, _ENDPOINT)
    body = found.mapping(document.data, ())
    base = path.absolute().parent if path is not None else Path.cwd()
    folders = body.get("data_folders", [])
    for at, text in enumerate(folders if not found.all else ()):
        if not (base / Path(text).expanduser()).is_dir():
            found.add("data-not-found", f"there is no folder {text!r}", ("data_folders", at))
    if found.all:
        raise FlowError(found.all)
    if "data_folders" in body:
        body["data_folders"] = [str((base / Path(text).expanduser()).resolve()) for text in folders]
    return Asked(document, body, found.notes())


def deployment(path: Path | None, changes: Mapping[str, str]) -> Asked:
    """What a batch deployment's file asks for.

    Raises:
        FlowError: everything that is wrong with it.
    """
    document = read(path, changes)
    document = Document(document.file, _with_settings(document.data), _marks(document))
    found = Complaints(document, _DEPLOYMENT)
    body = found.mapping(document.data, ())
    if found.all:
        raise FlowError(found.all)
    return Asked(document, resolved(body, path), found.notes())


def _with_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys with all settings under `settings`, where they stand since version 1.7 of the schema."""
    inner = data.get("settings")
    moved = {key: value for key, value in data.items() if key in _SETTINGS}
    if not moved or not isinstance(inner, dict | None):
        return dict(data)
    rest = {key: value for key, value in data.items() if key not in moved}
    return {**rest, "settings": {**moved, **(inner or {})}}


def _marks(document: Document) -> dict[Any, Any]:
    marks = dict(document.marks)
    for path, mark in document.marks.items():
        if path and path[0] in _SETTINGS:
            marks.setdefault(("settings", *path), mark)
    return marks


_COUNT = ("a whole number from 1 to 1000", lambda v: is_whole(v, 1, 1000))
_SETTINGS: Kinds = {
    "mini_batch_size": ("a whole number from 1 to 10000", lambda v: is_whole(v, 1, 10_000)),
    "max_concurrency_per_instance": ("a whole number from 1 to 64", lambda v: is_whole(v, 1, 64)),
    "output_action": ("append_row or summary_only", lambda v: v in ("append_row", "summary_only")),
    "output_file_name": (
        "a file's name that ends in .csv or .jsonl",
        lambda v: is_text(v) and _FILE_NAME.fullmatch(v) is not None,
    ),
    "retry_settings": ("a mapping with max_retries and timeout", RetrySettings),
    "error_threshold": ("a whole number, -1 for any number of failures", lambda v: is_whole(v, -1, 2**53)),
    "logging_level": (
        "error, warning, info or debug",
        lambda v: is_text(v) and v.lower() in ("error", "warning", "info", "debug"),
    ),
    "environment_variables": MAPPING,
    "id_column": ("the name of a column", is_text),
    "tracking": ("true or false", lambda v: isinstance(v, bool)),
}
_PARTS: dict[type, Kinds] = {
    Settings: _SETTINGS,
    RetrySettings: {
        "max_retries": ("a whole number from 0 to 100", lambda v: is_whole(v, 0, 100)),
        "timeout": ("seconds from 0.1 to 86400", lambda v: is_number(v, 0.1, 86_400)),
    },
    Resources: {"instance_count": ("a whole number from 1 to 64", lambda v: is_whole(v, 1, 64))},
    Defaults: {"deployment_name": NAMED},
    Jobs: {
        "max_running": _COUNT,
        "max_queued": ("a whole number from 0 to 100000", lambda v: is_whole(v, 0, 100_000)),
        "max_upload_bytes": ("a whole number of bytes from 1", lambda v: is_whole(v, 1, 2**40)),
        "max_kept_bytes": ("a whole number of bytes from 1", lambda v: is_whole(v, 1, 2**50)),
        "keep_days": ("days above 0", lambda v: is_number(v, 1e-6, 36_500)),
    },
}
_NEEDED: dict[type, tuple[str, ...]] = {Defaults: ("deployment_name",)}
_REFUSED = {
    "component": "a deployment names the folder of its flow, as 'flow: PATH'",
    "job_definition": "a deployment names the folder of its flow, as 'flow: PATH'",
    "traffic": "a batch endpoint has one default: 'defaults: {deployment_name: NAME}'",
}
_ENDPOINT = Keys(
    what="a batch endpoint",
    kinds={
        **OF_ENDPOINTS,
        "defaults": ("a mapping with deployment_name", Defaults),
        "data_folders": (
            "a list of folders",
            lambda v: isinstance(v, list) and all(is_text(folder) and folder for folder in v),
        ),
        "jobs": ("a mapping", Jobs),
    },
    azures=("compute", "identity", "kind", "location", "properties", "public_network_access", "type"),
    refused=_REFUSED,
    parts=_PARTS,
    needed=_NEEDED,
)
_DEPLOYMENT = Keys(
    what="a batch deployment",
    kinds={
        **OF_DEPLOYMENTS,
        "column_mapping": ("columns by input, as in {text: '${data.text}'}", is_mapping),
        "resources": ("a mapping with instance_count", Resources),
        "settings": ("a mapping", Settings),
    },
    azures=(
        "code_configuration",
        "compute",
        "environment",
        "instance_type",
        "properties",
        "shm_size",
        "type",
    ),
    refused=_REFUSED,
    parts=_PARTS,
    needed=_NEEDED,
)
