"""What does `${...}` point at? References: parse, print, follow.

Prompt flow's grammar (contracts/flow.py `InputAssignment`, executor/_input_assignment_parser.py): a value is
a reference only if the whole string is `${...}`. Keys, indexes and plain fields only: nothing is called, no
dunder is reachable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from promptflow_lite.errors import InputError

__all__ = ["Ref", "follow"]

Scope = Literal["inputs", "node", "data", "run.inputs", "run.outputs", "turn"]

_COLUMNS: tuple[Scope, ...] = ("data", "run.inputs", "run.outputs", "turn")
_STEP = re.compile(r"\.?(?:(\w+)|\['(.*?)'\]|\[(\d+)\])")


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a flow input, a node's output or a column.

    >>> Ref.in_flow("${classify.output.intents[0]}")
    Ref(scope='node', name='classify', path=('intents', 0))
    """

    scope: Scope
    name: str
    path: tuple[str | int, ...] = ()

    @staticmethod
    def is_reference(value: object) -> bool:
        """Whether a YAML value is a reference and not a literal."""
        return isinstance(value, str) and len(value) > 3 and value.startswith("${") and value.endswith("}")

    @classmethod
    def in_flow(cls, text: str) -> Ref:
        """Parse a reference of a flow file: `${inputs.x}`, `${flow.x}`, `${node}`, `${node.output...}`.

        Raises:
            ValueError: says what is wrong with the text; the caller knows where it stands.
        """
        body = text[2:-1]
        head, _, rest = body.partition(".")
        if head in ("inputs", "flow"):
            if not rest:
                raise ValueError(f"{text!r} names no input; expected '${{inputs.NAME}}'")
            return cls("inputs", rest)
        if not rest:
            return cls("node", body)
        section = re.match(r"\w*", rest)
        if section is None or section.group() != "output":
            raise ValueError(
                f"{text!r}: only a node's 'output' can be referenced, as in '${{{head}.output}}'"
            )
        return cls("node", head, _path(rest[len("output") :], text))

    @classmethod
    def in_mapping(cls, text: str) -> Ref:
        """Parse a column reference: `${data.COL}`, `${run.inputs.COL}`, `${run.outputs.COL}`.

        The rest of the text is one column name; it may hold dots (Prompt flow 1.18: no paths in columns).
        `${turn.PART}` is ours: a part of each turn of a conversation.

        Raises:
            ValueError: the text names no known source.
        """
        body = text[2:-1]
        for scope in _COLUMNS:
            if body.startswith(scope + ".") and len(body) > len(scope) + 1:
                return cls(scope, body[len(scope) + 1 :])
        raise ValueError(
            f"{text!r} is no column reference; expected '${{data.COLUMN}}', '${{run.inputs.COLUMN}}', "
            "'${run.outputs.COLUMN}' or '${turn.PART}'"
        )

    def __str__(self) -> str:
        if self.scope != "node":
            return f"${{{self.scope}.{self.name}}}"
        return f"${{{self.name}.output{''.join(_print_step(step) for step in self.path)}}}"


def _path(text: str, whole: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{whole!r}: cannot read the property path at {text[at:]!r}")
        name, key, index = match.groups()
        if name is not None and text[at] != ".":
            raise ValueError(f"{whole!r}: cannot read the property path at {text[at:]!r}")
        steps.append(int(index) if index is not None else (name if name is not None else key))
        at = match.end()
    return tuple(steps)


def _print_step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"\w+", step) else f"['{step}']"


def follow(value: Any, ref: Ref) -> Any:
    """What `ref.path` leads to inside `value`: a key, an index, a field of a dataclass or a model.

    Raises:
        InputError: a step leads nowhere (code `bad-property`).
    """
    for step in ref.path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, Sequence) and not isinstance(value, bytes) and _is_index(step, value):
            value = value[int(step)]
        elif isinstance(step, str) and _is_field(value, step):
            value = getattr(value, step)
        else:
            raise InputError(
                f"{ref}: {step!r} is not in {_describe(value)}",
                code="bad-property",
            )
    return value


def _is_index(step: str | int, value: Sequence[Any]) -> bool:
    return isinstance(step, int) and 0 <= step < len(value)


def _is_field(value: Any, name: str) -> bool:
    if name.startswith("_"):
        return False
    if is_dataclass(value) and not isinstance(value, type):
        return any(field.name == name for field in fields(value))
    return name in getattr(type(value), "model_fields", {})


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"the mapping with keys {', '.join(map(repr, list(value)[:12])) or '(none)'}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"a list of {len(value)}"
    return f"a value of type {type(value).__name__}"
