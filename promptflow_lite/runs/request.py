"""What does a run file ask for? Prompt flow's `run.yaml`, with Azure's and our few keys beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.connections.files import read_dotenv
from promptflow_lite.errors import Diagnostic, FlowError, InputError, near_miss
from promptflow_lite.flow.source import Document, read_yaml

__all__ = ["KEYS", "of_env_file", "of_json_file", "of_yaml"]

IGNORED = ("$schema", "code", "identity", "runtime", "resources", "type")
"""Keys of Prompt flow's and Azure's run files that say nothing to a local run."""
PATHS = ("flow", "data")
"""Relative to the file. A flow may also be an evaluator's name, as in `evaluator:qa_text`."""

_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a string", lambda v: isinstance(v, str)),
    "display_name": ("a string", lambda v: isinstance(v, str)),
    "description": ("a string", lambda v: isinstance(v, str)),
    "flow": ("a path", lambda v: isinstance(v, str)),
    "data": ("a path", lambda v: isinstance(v, str)),
    "run": ("a run's name", lambda v: isinstance(v, str)),
    "resume_from": ("a run's name", lambda v: isinstance(v, str)),
    "variant": ("'${node.variant}', or a list of them", lambda v: isinstance(v, str) or _is_texts(v)),
    "matrix": ("a mapping of lists", lambda v: _is_mapping_of_values(v)),
    "column_mapping": ("a mapping", lambda v: isinstance(v, dict)),
    "connections": ("a mapping of mappings", lambda v: _is_mapping_of_mappings(v)),
    "environment_variables": ("a mapping, or the path of a .env file", lambda v: isinstance(v, dict | str)),
    "init": ("a mapping, or the path of a .json file", lambda v: isinstance(v, dict | str)),
    "tags": ("a mapping", lambda v: isinstance(v, dict)),
    "properties": ("a mapping", lambda v: isinstance(v, dict)),
    "concurrency": ("a whole number of at least 1", lambda v: _is_int(v) and v >= 1),
    "executor": ("'ray', or a Ray cluster's address", lambda v: isinstance(v, str)),
    "workers": ("a whole number of at least 1", lambda v: _is_int(v) and v >= 1),
    "worker_memory": ("a whole number of MB", lambda v: _is_int(v) and v >= 1),
    "error_threshold": ("a whole number, -1 for any number of failures", lambda v: _is_int(v) and v >= -1),
    "limit": ("a whole number of at least 1", lambda v: _is_int(v) and v >= 1),
    "sample": (
        "a number of rows, or a part of them such as 0.1",
        lambda v: _is_number(v) and (0 < v < 1 or (v >= 1 and v == int(v))),
    ),
    "shuffle_seed": ("a whole number", lambda v: _is_int(v)),
    "repeats": ("a whole number from 1 to 1000", lambda v: _is_int(v) and 1 <= v <= 1000),
    "cache": ("true or false", lambda v: isinstance(v, bool)),
    "max_cost": ("US dollars", lambda v: _is_number(v) and v > 0),
    "max_tokens": ("a whole number of at least 1", lambda v: _is_int(v) and v >= 1),
    "skip_bad_lines": ("true or false", lambda v: isinstance(v, bool)),
    "batch_timeout": ("a number of seconds", lambda v: _is_number(v) and v > 0),
    "line_timeout": ("a number of seconds", lambda v: _is_number(v) and v > 0),
}
KEYS = tuple(_KINDS)
"""The keys of a run file, which `--set` takes too."""


def of_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The keys of a run file, paths made absolute, and notes on what is ignored.

    Raises:
        FlowError: every unknown key and wrong value, with its place.
    """
    document = read_yaml(path)
    complaints: list[Diagnostic] = []
    if not isinstance(document.data, dict):
        place = document.at()
        raise FlowError(
            [Diagnostic("bad-run-file", "expected a mapping of keys such as flow and data", place)]
        )
    fields: dict[str, Any] = {}
    notes: list[str] = []
    for key, value in document.data.items():
        if key in IGNORED:
            if key != "$schema":
                notes.append(f"{document.at(key)}: {key!r} means nothing to a local run; ignored")
        elif value is not None:
            complaints += _complaints(str(key), value, document)
            fields[str(key)] = value
    if complaints:
        raise FlowError(complaints)
    return _resolved(fields, path.absolute().parent), notes


def of_env_file(path: Path) -> dict[str, str]:
    """The variables of a .env file.

    Raises:
        UserError: the file cannot be read, or a line is neither `NAME=value` nor a comment.
    """
    secrets: dict[str, str] = read_dotenv(path)["secrets"]
    return secrets


def of_json_file(path: Path) -> dict[str, Any]:
    """The object in a JSON file, such as the `init` of a flex flow.

    Raises:
        InputError: there is no such file, or no object is in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", code="unreadable-file") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}", code="unreadable-file") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected an object of values by name", code="wrong-type")
    return found


def _complaints(key: str, value: Any, document: Document) -> list[Diagnostic]:
    place = document.at(key)
    if key not in _KINDS:
        hint = near_miss(key, [*_KINDS, *IGNORED]) or f"there are: {', '.join(_KINDS)}"
        return [Diagnostic("unknown-key", f"a run file has no key {key!r}", place, hint)]
    expected, holds = _KINDS[key]
    if not holds(value):
        return [Diagnostic("wrong-type", f"expected {expected}, got {value!r}", place)]
    return []


def _resolved(fields: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = dict(fields)
    for key in PATHS:
        if key in found and not found[key].startswith("evaluator:"):
            found[key] = str((folder / Path(found[key]).expanduser()).resolve())
    variables = found.get("environment_variables")
    if isinstance(variables, str):
        found["environment_variables"] = of_env_file(folder / variables)
    elif variables is not None:
        found["environment_variables"] = {str(k): _text(v) for k, v in variables.items()}
    if isinstance(found.get("init"), str):
        found["init"] = of_json_file(folder / found["init"])
    if "matrix" in found:
        found["matrix"] = {
            str(key): values if isinstance(values, list) else [values]
            for key, values in found["matrix"].items()
        }
    if "tags" in found:
        found["tags"] = {str(k): _text(v) for k, v in found["tags"].items()}
    return found


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_mapping_of_values(value: Any) -> bool:
    """Values of a matrix: a list, or a single one such as `*`."""
    return isinstance(value, dict) and not any(isinstance(inner, dict) for inner in value.values())


def _is_mapping_of_mappings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
