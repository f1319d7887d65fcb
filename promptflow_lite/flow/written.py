"""What stands behind `${file:...}` in a flow file? Data of another file, in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.source import KeyPath, parse_yaml, read_text

__all__ = ["with_files"]

_FILE = re.compile(r"\$\{file:(.*)\}|file:(.*\.json)")

Complain = Callable[[str, str, KeyPath, str | None], None]


def with_files(value: Any, folder: Path, path: KeyPath, complain: Complain) -> Any:
    """`value` with every `${file:PATH}` in it replaced by what that file holds.

    JSON and YAML are read, any other file is its text. Prompt flow: core/_prompty_utils.py
    `resolve_reference`.

    Args:
        value: data of a flow file.
        folder: where relative paths start.
        path: where `value` stands.
        complain: is told code, message, place and hint of what is wrong; the value stays as it is then.
    """
    if isinstance(value, dict):
        return {key: with_files(item, folder, (*path, key), complain) for key, item in value.items()}
    if isinstance(value, list):
        return [with_files(item, folder, (*path, index), complain) for index, item in enumerate(value)]
    match = _FILE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    name = (match[1] or match[2]).strip()
    file = folder / name
    if not file.is_file():
        complain("source-not-found", f"there is no file {name!r}", path, None)
        return value
    try:
        return _read(file)
    except FlowError as error:
        complain("unreadable-file", error.diagnostics[0].message, path, str(error.diagnostics[0].mark))
    except ValueError as error:
        complain("unreadable-file", f"{name!r} is no JSON: {error}", path, None)
    return value


def _read(file: Path) -> Any:
    match file.suffix.lower():
        case ".json":
            return json.loads(read_text(file))
        case ".yaml" | ".yml":
            return parse_yaml(read_text(file), str(file)).data
        case _:
            return read_text(file)
