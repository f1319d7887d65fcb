"""Which inputs stand in a file? One line of a `.json` or `.jsonl` file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError

__all__ = ["read_inputs"]


def read_inputs(file: str | Path) -> dict[str, Any]:
    """The inputs of a JSON object, or of the first line of JSON lines.

    Raises:
        InputError: there is no such file, or no object is in it.
    """
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if path.suffix == ".jsonl":
        text = next((line for line in text.splitlines() if line.strip()), "")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected an object of inputs by name")
    return found
