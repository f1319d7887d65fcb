"""Which inputs does each line get? Column mapping: sources joined by line number.

Prompt flow's rules (its documentation of `column_mapping`), with two traps mended: an input with a default
takes the data column of its name when there is one, and a key that a row lacks is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import FlowInput
from promptflow_lite.runs.data import Table
from promptflow_lite.runs.job import Line

__all__ = ["Mapped", "map_lines"]

_SHOWN = 20
_ABSENT = {
    "data": "there is no data; give it with --data",
    "run.inputs": "there is no base run; name it with --run",
    "run.outputs": "there is no base run; name it with --run",
}


@dataclass(frozen=True)
class Mapped:
    """The lines, in the order of the first source."""

    lines: list[Line]
    skipped: dict[int, str]
    """Lines that lack something to work on, with the reason; only where `skip_incomplete` was asked for."""
    notes: list[str]
    """What a person should be told."""


def map_lines(
    sources: Mapping[str, Table],
    mapping: Mapping[str, Any] | None,
    inputs: Mapping[str, FlowInput],
    *,
    skip_incomplete: bool = False,
) -> Mapped:
    """One line for each number that every source has.

    Args:
        sources: tables by scope: `data`, `run.inputs`, `run.outputs`.
        mapping: input name to `${scope.column}` or a literal. An input that is not named takes the data
            column of its name.
        inputs: the flow's inputs.
        skip_incomplete: leave out, and report, a line whose row lacks a mapped column, instead of refusing
            the data: for evaluations, where a row without ground truth is nothing to score.

    Raises:
        InputError: `bad-column-mapping` with every reference that leads nowhere, or `missing-column` with
            every row that lacks a column.
    """
    plan, notes = _plan(sources, mapping or {}, inputs)
    tables = list(sources.values())
    lines: list[Line] = []
    skipped: dict[int, str] = {}
    missing: list[str] = []
    for number in tables[0].rows:
        if any(number not in table.rows for table in tables[1:]):
            continue
        values: dict[str, Any] = {}
        lacking: list[str] = []
        for name, value in plan.items():
            if not isinstance(value, Ref):
                values[name] = value
                continue
            row = sources[value.scope].rows[number]
            if value.name in row:
                values[name] = row[value.name]
            elif inputs[name].default is None:
                lacking.append(
                    f"{sources[value.scope].place(number)}: no {value.name!r} for the input {name!r}"
                )
        if not lacking:
            lines.append(Line(number, values))
        elif skip_incomplete:
            skipped[number] = "; ".join(lacking)
        else:
            missing += lacking
    if missing:
        more = [f"... and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
        raise InputError("\n".join([*missing[:_SHOWN], *more]), code="missing-column")
    return Mapped(lines, skipped, notes)


def _plan(
    sources: Mapping[str, Table], mapping: Mapping[str, Any], inputs: Mapping[str, FlowInput]
) -> tuple[dict[str, Any], list[str]]:
    """Each input's reference or literal; what does not work is raised all at once."""
    columns = {scope: table.columns() for scope, table in sources.items()}
    plan: dict[str, Any] = {}
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
                plan[name] = Ref.in_mapping(value)
            except ValueError as error:
                complaints.append(f"{name}: {error}")
        else:
            plan[name] = value
            if isinstance(value, str) and "${" in value:
                notes.append(
                    f"column mapping: {name}={value!r} is plain text; a reference is the whole value"
                )
    for name, spec in inputs.items():
        if name in mapping:
            continue
        if name in columns.get("data", ()) or not (_has_default(spec) or _is_history(name, spec)):
            plan[name] = Ref("data", name)
        elif _is_history(name, spec) and not _has_default(spec):
            plan[name] = []
    complaints += [
        f"{name}: {reason}"
        for name, ref in plan.items()
        if isinstance(ref, Ref) and (reason := _leads_nowhere(name, ref, sources, columns, name in mapping))
    ]
    if complaints:
        raise InputError(
            "column mapping: " + "\ncolumn mapping: ".join(complaints), code="bad-column-mapping"
        )
    return plan, notes


def _has_default(spec: FlowInput) -> bool:
    return spec.default is not None or spec.optional


def _is_history(name: str, spec: FlowInput) -> bool:
    """A chat history nobody mapped is empty, as in `pf flow test`."""
    return bool(spec.is_chat_history) or (name == "chat_history" and spec.is_chat_history is not False)


def _leads_nowhere(
    name: str, ref: Ref, sources: Mapping[str, Table], columns: Mapping[str, list[str]], asked: bool
) -> str | None:
    if ref.scope not in sources:
        if asked:
            return f"{str(ref)!r}: {_ABSENT[ref.scope]}"
        known = ", ".join(f"${{{scope}.{column}}}" for scope, names in columns.items() for column in names)
        return f"the input is not mapped; there are: {known}"
    if ref.name in columns[ref.scope]:
        return None
    known = ", ".join(columns[ref.scope]) or "none"
    hint = near_miss(ref.name, columns[ref.scope])
    where = f"{sources[ref.scope].name} has no column {ref.name!r}; it has: {known}"
    if not asked:
        where += f"; map it, as in --column-mapping {name}='${{data.COLUMN}}'"
    return f"{str(ref)!r}: {where}" + (f"; {hint}" if hint else "")
