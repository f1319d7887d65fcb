"""What does a value become under a declared type? Value types, and the coercion of flow inputs.

Prompt flow: contracts/tool.py `ValueType.parse`, executor/flow_validator.py (flow-language 1.3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.images import load, load_image
from promptflow_lite.flow.spec import Flow, FlowInput

__all__ = ["ValueType", "coerce", "coerce_inputs", "is_type_name", "with_images"]


class ValueType(StrEnum):
    """The types that inputs and parameters may declare, beside the names of connection classes."""

    int = "int"
    double = "double"
    bool = "bool"
    string = "string"
    list = "list"
    object = "object"
    image = "image"
    secret = "secret"  # noqa: S105  # a type's name
    file_path = "file_path"
    prompt_template = "prompt_template"
    assistant_definition = "assistant_definition"


def is_type_name(name: str) -> bool:
    """Whether `name` is a value type or looks like a connection class."""
    return name in _TYPE_NAMES or (name.isidentifier() and name.endswith("Connection"))


def coerce(value: Any, type_name: str) -> Any:
    """`value` as the declared type.

    Args:
        value: any value.
        type_name: a `ValueType`; under any other name the value stays as it is.

    Raises:
        ValueError: says what was expected and what came, as in `expected an int, got 'three'`.

    >>> coerce("3", "int"), coerce("TRUE", "bool"), coerce("[1]", "list"), coerce("{", "object")
    (3, True, [1], '{')
    """
    match type_name:
        case "string":
            return value if type(value) is str else _string(value)
        case "int":
            return _number(value, int, "an int")
        case "double":
            return _number(value, float, "a double")
        case "bool":
            return _bool(value)
        case "list":
            return _list(value)
        case "object":
            return _object(value)
        case _:
            return value


def coerce_inputs(
    flow: Flow, given: Mapping[str, Any], folders: Iterable[Path] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The inputs of one line: declared types, defaults filled in; and what a person should be told.

    A default counts only where the key is absent. The chat history of a chat flow is `[]` where it is absent.

    Args:
        flow: whose inputs.
        given: the values, by name.
        folders: where the paths of images may lead, before and beside the flow's own folder.

    Raises:
        InputError: names every input that is missing or of the wrong type.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, spec in flow.inputs.items():
        if name not in given and not _has_default(flow, name, spec):
            wrong.append(f"inputs.{name}: missing; expected {_article(spec.type)}")
            continue
        if spec.optional and spec.default is None and given.get(name) is None:
            values[name] = None
            continue
        value = given.get(name, [] if spec.default is None else spec.default)
        if type(value) is str and spec.type == "string":
            values[name] = value  # mostly so, and nothing has to be looked at
            continue
        try:
            within = folders if name in given else ()  # a default is the author's
            values[name] = with_images(flow, coerce(value, spec.type), spec.type, within)
        except ValueError as error:
            wrong.append(f"inputs.{name}: {error}")
    if wrong:
        code = "missing-input" if all(": missing;" in text for text in wrong) else "wrong-input"
        raise InputError("\n".join(wrong), code=code, hint=_hint(flow, given))
    return values, _warnings(flow, given) if given.keys() - values.keys() or None in given.values() else []


def with_images(flow: Flow, value: Any, type_name: str, folders: Iterable[Path] = ()) -> Any:
    """A coerced value with the images that it holds, where its type may hold some.

    Raises:
        ValueError: an image is none, or lies outside the folders.
    """
    if type_name == "image":
        within = (*folders, flow.folder)
        if isinstance(value, list):  # an aggregation node that is tried alone gets a list
            return [load_image(item, flow.message_format, within) for item in value]
        return load_image(value, flow.message_format, within)
    if type_name in ("list", "object"):
        return load(value, flow.message_format, (*folders, flow.folder))
    return value


def _has_default(flow: Flow, name: str, spec: FlowInput) -> bool:
    return (
        spec.default is not None
        or spec.optional
        or (flow.chat_input is not None and name == flow.chat_history)
    )


def _hint(flow: Flow, given: Mapping[str, Any]) -> str | None:
    missing = [name for name in flow.inputs if name not in given]
    for name in given:
        if name not in flow.inputs and (hint := near_miss(name, missing)):
            return f"{name!r} was given: {hint}"
    return None


def _warnings(flow: Flow, given: Mapping[str, Any]) -> list[str]:
    extra = [
        f"inputs.{name}: the flow has no such input; it is ignored"
        for name in given
        if name not in flow.inputs
    ]
    nulls = [
        f"inputs.{name}: null was given for a string; it becomes the text 'None', as in Prompt flow"
        for name, spec in flow.inputs.items()
        if spec.type == "string" and name in given and given[name] is None
    ]
    return extra + nulls


def _string(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _number(value: Any, kind: Any, words: str) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected {words}, got {_shown(value)}") from None


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"expected true or false, got {_shown(value)}")


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, list):
            return decoded
    raise ValueError(f"expected a list or its JSON text, got {_shown(value)}")


def _object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _article(type_name: str) -> str:
    return f"an {type_name}" if type_name[:1] in "aeiou" else f"a {type_name}"


_TYPE_NAMES = frozenset(t.value for t in ValueType)
