"""Which inputs does each line get? Column mapping: Prompt flow's rules over the columns of the sources.

Two traps of Prompt flow (its documentation of `column_mapping`) are mended: an input with a default takes the
data column of its name when there is one, and a key that a row lacks is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import FlowInput

__all__ = ["Plan", "Scope", "plan_of"]

_ABSENT = {
    "data": "there is no data; give it with --data",
    "run.inputs": "there is no base run; name it with --run",
    "run.outputs": "there is no base run; name it with --run",
}


@dataclass(frozen=True)
class Scope:
    """What a mapping may refer to as `${data.COLUMN}`, `${run.inputs.COLUMN}` or `${run.outputs.COLUMN}`."""

    name: str
    """What a message calls it: a file, or the outputs of a run."""
    columns: Mapping[str, int]
    """How many of its rows have each column."""
    rows: int
    first: Callable[[], Mapping[str, Any]] = dict
    """Its first row, for whoever has to know what a column holds."""


@dataclass(frozen=True)
class Plan:
    """Where each input comes from: a reference, or a literal."""

    code: ClassVar[str] = "missing-column"
    """Of the error about rows that lack something."""

    values: Mapping[str, Any]
    optional: frozenset[str]
    """Inputs with a default: a row may lack their column."""
    notes: list[str]
    """What a person should be told."""
    is_certain: bool
    """Whether every row of every scope has what it needs, so that none has to be looked at."""

    def inputs(self, rows: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """The inputs that a line gets from its rows, by scope, and what the rows lack."""
        values: dict[str, Any] = {}
        lacking: list[str] = []
        for name, value in self.values.items():
            if not isinstance(value, Ref):
                values[name] = value
                continue
            row = rows[value.scope]
            if value.name in row:
                values[name] = row[value.name]
            elif name not in self.optional:
                lacking.append(f"no {value.name!r} for the input {name!r}")
        return values, lacking


def plan_of(
    scopes: Mapping[str, Scope], mapping: Mapping[str, Any] | None, inputs: Mapping[str, FlowInput]
) -> Plan:
    """Each input's reference or literal.

    Args:
        scopes: what there is to refer to.
        mapping: input name to `${scope.column}` or a literal. An input that is not named takes the data
            column of its name.
        inputs: the flow's inputs.

    Raises:
        InputError: `bad-column-mapping` with every reference that leads nowhere.
    """
    mapping = mapping or {}
    values: dict[str, Any] = {}
    notes: list[str] = []
    complaints: list[str] = []
    for name, value in mapping.items():
        if name not in inputs:
            hint = near_miss(name, inputs)
            notes.append(
                f"column mapping: the flow has no input {name!r}" + (f"; {hint}" if hint else "; ignored")
            )
        elif Ref.is_reference(value):
            try:
                values[name] = Ref.in_mapping(value)
            except ValueError as error:
                complaints.append(f"{name}: {error}")
        else:
            values[name] = value
            if isinstance(value, str) and "${" in value:
                notes.append(
                    f"column mapping: {name}={value!r} is plain text; a reference is the whole value"
                )
    data = scopes["data"].columns if "data" in scopes else {}
    for name, spec in inputs.items():
        if name in mapping:
            continue
        if name in data or not (_has_default(spec) or _is_history(name, spec)):
            values[name] = Ref("data", name)
        elif not _has_default(spec):
            values[name] = []
    refs = {name: ref for name, ref in values.items() if isinstance(ref, Ref)}
    complaints += [
        f"{name}: {reason}"
        for name, ref in refs.items()
        if (reason := _leads_nowhere(name, ref, scopes, asked=name in mapping))
    ]
    if complaints:
        raise InputError(
            "column mapping: " + "\ncolumn mapping: ".join(complaints), code="bad-column-mapping"
        )
    optional = frozenset(name for name, spec in inputs.items() if _has_default(spec))
    certain = all(
        scopes[ref.scope].columns[ref.name] == scopes[ref.scope].rows
        for name, ref in refs.items()
        if name not in optional
    )
    return Plan(values, optional, notes, certain)


def _has_default(spec: FlowInput) -> bool:
    return spec.default is not None


def _is_history(name: str, spec: FlowInput) -> bool:
    """A chat history nobody mapped is empty, as in `pf flow test`."""
    return bool(spec.is_chat_history) or (name == "chat_history" and spec.is_chat_history is not False)


def _leads_nowhere(name: str, ref: Ref, scopes: Mapping[str, Scope], *, asked: bool) -> str | None:
    if ref.scope not in scopes:
        if asked:
            return f"{str(ref)!r}: {_ABSENT[ref.scope]}"
        known = ", ".join(f"${{{scope}.{column}}}" for scope, of in scopes.items() for column in of.columns)
        return f"the input is not mapped; there are: {known}"
    columns = scopes[ref.scope].columns
    if ref.name in columns:
        return None
    known = ", ".join(columns) or "none"
    hint = near_miss(ref.name, columns)
    where = f"{scopes[ref.scope].name} has no column {ref.name!r}; it has: {known}"
    if not asked:
        where += f"; map it, as in --column-mapping {name}='${{data.COLUMN}}'"
    return f"{str(ref)!r}: {where}" + (f"; {hint}" if hint else "")
