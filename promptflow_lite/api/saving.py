"""How does code become a flex flow? A flow.flex.yaml that names its entry, beside it or beside a copy."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import FlowError, UserError
from promptflow_lite.flow.load import load_flow

__all__ = ["save_flex"]

_FILE = "flow.flex.yaml"


def save_flex(
    entry: str, *, code: Path, path: Path | None = None, more: Mapping[str, Any] | None = None
) -> Path:
    """Write the file of a flex flow; where it is.

    Args:
        entry: `module:name`, relative to `code`.
        code: the folder of the code, or a file in it.
        path: a folder that `code` is copied to first; `None` writes beside the code.
        more: further keys of the file, such as `environment` or `sample`.

    Raises:
        UserError: the code or the folder is not as it must be; nothing was written.
        FlowError: the entry is not in the code.
    """
    source = code.parent if code.is_file() else code
    if not source.is_dir():
        raise UserError(f"--code: there is no folder {str(code)!r}", code="not-a-folder")
    folder = source if path is None else path
    if path is not None:
        if path.is_dir() and any(path.iterdir()):
            raise UserError(f"{path} has files already", code="folder-not-empty")
        shutil.copytree(source, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    file = folder / _FILE
    before = file.read_bytes() if file.is_file() else None
    file.write_text(_yaml({"entry": entry, **(more or {})}), encoding="utf-8")
    try:
        load_flow(file)
    except (FlowError, UserError):
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)
        raise
    return file


def _yaml(data: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML  # noqa: PLC0415  # heavy: first use

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    yaml.dump(
        {"$schema": "https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json", **data}, stream
    )
    return stream.getvalue()
