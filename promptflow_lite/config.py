"""What did `pf config set` say? The file `pf.yaml` of the home, and of the folder that is worked in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import UserError, near_miss

__all__ = ["FILE", "KEYS", "WITHOUT_MEANING", "check", "read", "run_output", "write"]

FILE = "pf.yaml"

KEYS = {
    "run.output_path": "where runs are kept; ${flow_directory} stands for the flow's folder",
    "connection.provider": "where connections are found: local",
}
"""The keys that have an effect, and what they say."""

WITHOUT_MEANING = {
    "telemetry.enabled": "nothing is sent anywhere",
    "trace.destination": "no traces are collected; runs are told to MLflow by MLFLOW_TRACKING_URI",
    "service.host": "there is no service; pf flow serve --host says where an endpoint listens",
    "user_agent": "nothing is sent anywhere",
    "enable_internal_features": "there are none",
    "cli.installation_id": "nothing is sent anywhere",
}
"""Prompt flow's keys that say nothing here, and why."""

_FLOW = "${flow_directory}"


def check(key: str, value: str) -> None:
    """Complain about a setting that would have no effect, or a wrong one.

    Raises:
        UserError: the key is none (`unknown-key`), means nothing here, or has a wrong value.
    """
    if key in WITHOUT_MEANING:
        raise UserError(f"{key!r} means nothing here: {WITHOUT_MEANING[key]}", code="not-supported")
    if key not in KEYS:
        hint = near_miss(key, [*KEYS, *WITHOUT_MEANING]) or f"there are: {', '.join(KEYS)}"
        raise UserError(f"there is no setting {key!r}", code="unknown-key", hint=hint)
    if key == "connection.provider" and value != "local":
        raise UserError(
            f"connection.provider: {value!r} is not part of promptflow_lite",
            code="not-supported",
            hint="pf connection create --file FILE  keeps one here",
        )
    if key == "run.output_path" and value.rstrip("/").endswith(_FLOW):
        raise UserError(
            "run.output_path: runs in the flow's folder itself would become part of the flow",
            code="bad-option",
            hint=f"write {_FLOW}/.runs",
        )


def read(home: Path, *, working: Path | None = None) -> dict[str, Any]:
    """The settings by dotted key: those of the nearest `pf.yaml` above `working`, over those of the home."""
    found = _flat(_load(home / FILE))
    if working is not None:
        near = next((p / FILE for p in (working, *working.parents) if (p / FILE).is_file()), None)
        if near is not None and near.parent != home:
            found |= _flat(_load(near))
    return found


def write(folder: Path, changes: Mapping[str, str]) -> Path:
    """Set keys in the `pf.yaml` of a folder; the others stay. Where it is."""
    from ruamel.yaml import YAML  # noqa: PLC0415  # heavy: first use

    path = folder / FILE
    data = _load(path)
    for key, value in changes.items():
        at = data
        *heads, last = key.split(".")
        for head in heads:
            at = at.setdefault(head, {})
        at[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(data, file)
    return path


def run_output(home: Path, flow: Path, *, working: Path | None = None) -> Path | None:
    """The folder that a run of `flow` shall be kept in, or `None` for the home's own."""
    said = read(home, working=working).get("run.output_path")
    if not isinstance(said, str) or not said:
        return None
    folder = flow if flow.is_dir() else flow.parent
    return Path(said.replace(_FLOW, str(folder))).expanduser().absolute()


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from ruamel.yaml import YAML  # noqa: PLC0415  # heavy: first use
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {error}", code="bad-yaml") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected settings by name", code="bad-yaml")
    return data


def _flat(data: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= _flat(value, f"{head}{key}.") if isinstance(value, Mapping) else {f"{head}{key}": value}
    return found
