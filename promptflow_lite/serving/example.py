"""Which inputs does a flow take, for example? Its samples, its first line of data, or its defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.values import to_plain

__all__ = ["IMAGE", "example_of"]

IMAGE = {"data:image/png;base64": "iVBORw0KGgo="}
_LARGEST_SAMPLE = 1024 * 1024


def example_of(flow: Flow) -> dict[str, Any]:
    """Inputs that the flow takes: its `samples.json`, its sample, its first line of data, or its defaults."""
    for found in (_samples(flow.folder), flow.sample, _first_line(flow.folder / "data.jsonl")):
        chosen = {name: found[name] for name in flow.inputs if name in found}
        try:
            coerce_inputs(flow, chosen)
        except InputError:
            continue
        if chosen:
            return dict(to_plain(chosen))
    return {
        name: _example(spec)
        for name, spec in flow.inputs.items()
        if spec.default is None or spec.is_chat_input
    }


def _example(spec: FlowInput) -> Any:
    if spec.default is not None:
        return to_plain(spec.default)
    kinds = {"int": 1, "double": 0.5, "bool": True, "list": [], "object": {}}
    return dict(IMAGE) if spec.type == "image" else kinds.get(spec.type, "text")


def _samples(folder: Path) -> Mapping[str, Any]:
    """Prompt flow's `samples.json`: an object of inputs, or a list of them."""
    found = _json(_text_of(folder / "samples.json"))
    if isinstance(found, list) and found:
        found = found[0]
    return found if isinstance(found, dict) else {}


def _first_line(file: Path) -> Mapping[str, Any]:
    found = _json(_text_of(file).partition("\n")[0])
    return found if isinstance(found, dict) else {}


def _text_of(file: Path) -> str:
    try:
        if not file.is_file():
            return ""
        with file.open(encoding="utf-8-sig") as opened:
            return opened.read(_LARGEST_SAMPLE)
    except (OSError, UnicodeDecodeError):
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
