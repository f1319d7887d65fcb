"""`promptflow._utils.yaml_utils`: YAML files as plain data, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from ruamel.yaml import YAML

from promptflow_lite.compat._missing import names_of

__all__ = ["dump_yaml", "load_yaml", "load_yaml_string"]


def load_yaml(source: str | Path | IO[str] | None) -> Any:
    """What stands in a YAML file; an empty mapping where there is nothing."""
    if source is None:
        return {}
    text = Path(source).read_text(encoding="utf-8") if isinstance(source, str | Path) else source.read()
    return load_yaml_string(text)


def load_yaml_string(text: str) -> Any:
    """What stands in YAML text."""
    return YAML(typ="safe", pure=True).load(text) or {}


def dump_yaml(value: Any, stream: IO[str] | None = None, **how: Any) -> str | None:
    """YAML of `value`: written to `stream`, or returned; `how` is taken for Prompt flow's sake."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    if stream is not None:
        yaml.dump(value, stream)
        return None
    target = io.StringIO()
    yaml.dump(value, target)
    return target.getvalue()


__getattr__ = names_of("promptflow._utils.yaml_utils")
