"""Are a run's lines conversations, and what does each turn get? Column mapping where a line has turns.

A chat flow over a column `turns` talks; `${turn.PART}` in a mapping gives each turn of a conversation to a
flow by itself, such as to an evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from promptflow_lite.engine.turns import plain_inputs
from promptflow_lite.errors import InputError, near_miss
from promptflow_lite.flow.conversation import (
    TURNS,
    Roles,
    Turn,
    is_written_as_turns,
    read_turns,
    roles_of,
    with_history,
)
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, FlowInput
from promptflow_lite.runs.mapping import Plan, Scope, plan_of

__all__ = ["PARTS", "Mode", "plan_lines"]

Mode = Literal["", "talk", "each"]
"""What a line is: one call of the flow, a talk with it, or each turn of a conversation by itself."""

_CONVERSATION = "conversation"
_COLUMNS = (TURNS, _CONVERSATION, "messages")
"""Columns of data that may hold a conversation."""
PARTS = {part: part for part in ("question", "answer", "history", "context")} | {"ground_truth": "expected"}
"""Inputs of evaluators that take a part of each turn, unless they are mapped to something else."""
_ABSENT: Any = object()


def plan_lines(
    flow: Flow, scopes: Mapping[str, Scope], mapping: Mapping[str, Any] | None
) -> tuple[Plan, Mode]:
    """Where each line's inputs come from, and what a line is.

    Args:
        flow: what is run.
        scopes: what there is to refer to.
        mapping: as it was asked for.

    Raises:
        InputError: `bad-column-mapping`, as `mapping.plan_of` says; `bad-turns`: the flow has
            an output `turns`.
    """
    mapping = dict(mapping or {})
    roles = roles_of(flow)
    if roles is not None and _talks(flow, roles, scopes, mapping):
        return _talk(flow, roles, scopes, mapping), "talk"
    mapping, said = _whole(flow, scopes, mapping)
    parts = {name: value for name, value in mapping.items() if _is_part(value)}
    source = _source(scopes)
    if not parts and source is not None and flow.type == "evaluation":
        parts = _implied(flow, scopes, mapping, source)
        said += [f"each turn is scored: {', '.join(f'{n}={v}' for n, v in parts.items())}"] if parts else []
    if not parts:
        plan = plan_of(scopes, mapping, flow.inputs)
        plan.notes.extend(said)
        return plan, ""
    if source is None:
        raise InputError(
            f"column mapping: {', '.join(parts.values())}: there are no turns",
            code="bad-column-mapping",
            hint="a chat flow over data with a column 'turns' has some, or the data has 'conversation'",
        )
    return _each(flow, scopes, mapping, parts, source, said), "each"


def _talks(flow: Flow, roles: Roles, scopes: Mapping[str, Scope], mapping: Mapping[str, Any]) -> bool:
    if TURNS in flow.inputs or flow.type == "evaluation":
        return False
    columns = scopes["data"].columns if "data" in scopes else {}
    is_alone = TURNS in columns and roles.question not in columns and roles.question not in mapping
    if is_alone and flow.inputs[roles.question].default is not None:
        # Nothing is missing: the column may be an ordinary one, such as a number of turns.
        is_alone = is_written_as_turns(scopes["data"].first().get(TURNS, []))
    return TURNS in mapping or is_alone


@dataclass(frozen=True)
class _Talk(Plan):
    """The plan of a flow that talks: every turn is read before the first line runs."""

    code: ClassVar[str] = "bad-turns"

    flow: Flow
    roles: Roles

    def inputs(self, rows: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """As of any plan; turns that are none are lacking too."""
        values, lacking = super().inputs(rows)
        if TURNS not in values:
            return values, lacking
        turns, wrong = read_turns(values[TURNS], self.roles.question)
        given = plain_inputs(values, self.roles)[0]
        wrong += [
            f"turn {number}: {what}"
            for number, turn in enumerate(turns, 1)
            for what in _wrong_inputs(self.flow, given, turn, self.roles)
        ]
        return values, [*lacking, *(f"{TURNS}: {what}" for what in wrong)]


def _talk(flow: Flow, roles: Roles, scopes: Mapping[str, Scope], mapping: Mapping[str, Any]) -> Plan:
    if TURNS in flow.outputs:
        raise InputError(
            f"{flow.name!r} has an output {TURNS!r} of its own, which a conversation would need",
            code="bad-turns",
        )
    columns = scopes["data"].columns if "data" in scopes else {}
    common = {
        name: spec
        for name, spec in flow.inputs.items()
        if name != roles.question
        # What neither the data nor a default gives, each turn has to.
        and (name in columns or name in mapping or spec.default is not None or name == roles.history)
    }
    plan = plan_of(scopes, mapping, {TURNS: FlowInput("list"), **common})
    notes = [*plan.notes]
    if roles.history is None:
        notes.append(f"{flow.name!r} has no chat history: its turns do not know of each other")
    return _Talk(plan.values, plan.optional, notes, is_certain=False, flow=flow, roles=roles)


def _wrong_inputs(flow: Flow, given: Mapping[str, Any], turn: Turn, roles: Roles) -> list[str]:
    own = turn.get("inputs", {})
    wrong = []
    for name in own:
        if name not in flow.inputs or name == roles.history:
            hint = near_miss(str(name), flow.inputs)
            wrong.append(f"the flow has no input {name!r}" + (f"; {hint}" if hint else ""))
    known = {*given, *own, roles.question, roles.history}
    wrong += [
        f"no input {name!r}"
        for name, spec in flow.inputs.items()
        if name not in known and spec.default is None and not spec.optional
    ]
    return wrong


def _whole(
    flow: Flow, scopes: Mapping[str, Scope], mapping: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The mapping, with the conversations that the base run had for an evaluator that asks for them."""
    outputs = scopes["run.outputs"].columns if "run.outputs" in scopes else {}
    columns = scopes["data"].columns if "data" in scopes else {}
    is_open = _CONVERSATION in flow.inputs and _CONVERSATION not in mapping
    if not is_open or _CONVERSATION in columns or TURNS not in outputs:
        return mapping, []
    reference = f"${{run.outputs.{TURNS}}}"
    return {**mapping, _CONVERSATION: reference}, [f"column mapping: {_CONVERSATION}={reference}"]


def _is_part(value: Any) -> bool:
    return Ref.is_reference(value) and value.startswith("${turn.")


def _source(scopes: Mapping[str, Scope]) -> Ref | None:
    """Where the conversations are: what the base run said, or else the data."""
    if "run.outputs" in scopes:
        return Ref("run.outputs", TURNS) if TURNS in scopes["run.outputs"].columns else None
    columns = scopes["data"].columns if "data" in scopes else {}
    return next((Ref("data", name) for name in _COLUMNS if name in columns), None)


def _implied(
    flow: Flow, scopes: Mapping[str, Scope], mapping: Mapping[str, Any], source: Ref
) -> dict[str, Any]:
    """The parts that an evaluator's inputs are named after, where nobody mapped any of those.

    Data may have an ordinary column `turns`, such as a number of them: it holds what is scored only where an
    input that is needed stands nowhere else.
    """
    columns = scopes["data"].columns if "data" in scopes else {}
    named = [name for name in flow.inputs if name in PARTS]
    if any(name in mapping for name in named) or {TURNS, _CONVERSATION} & flow.inputs.keys():
        return {}
    absent = [name for name in named if name not in columns]
    if source.scope == "data" and all(flow.inputs[name].default is not None for name in absent):
        return {}
    return {name: f"${{turn.{PARTS[name]}}}" for name in absent}


@dataclass(frozen=True)
class _Each(Plan):
    """The plan of a flow that gets each turn by itself."""

    code: ClassVar[str] = "bad-turns"

    parts: Mapping[str, str]
    """By input, the part of the turn that it gets; dots lead into it."""
    source: Ref

    def inputs(self, rows: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """As of any plan; a line of whose turns none has what it needs lacks that."""
        values, lacking = super().inputs(rows)
        row = rows[self.source.scope]
        if self.source.name not in row:
            return values, [*lacking, f"no {self.source.name!r}"]
        turns, wrong = read_turns(row[self.source.name])
        if wrong:
            return values, [*lacking, *(f"{self.source.name}: {what}" for what in wrong)]
        given = [self._of(turn) for turn in with_history(turns)]
        values[TURNS] = given
        if not any(given):
            lacking.append(f"no turn has all of {', '.join(self.parts.values())}")
        return values, lacking

    def _of(self, turn: Turn) -> dict[str, Any] | None:
        """The inputs that a turn gives; `None` where it lacks one that is needed."""
        found = {name: _part(turn, part) for name, part in self.parts.items()}
        if any(value is _ABSENT and name not in self.optional for name, value in found.items()):
            return None
        return {name: value for name, value in found.items() if value is not _ABSENT}


def _each(
    flow: Flow,
    scopes: Mapping[str, Scope],
    mapping: Mapping[str, Any],
    parts: Mapping[str, str],
    source: Ref,
    said: list[str],
) -> Plan:
    others = {name: value for name, value in mapping.items() if name not in parts}
    plan = plan_of(scopes, others, {n: spec for n, spec in flow.inputs.items() if n not in parts})
    for name in parts:
        if name not in flow.inputs:
            hint = near_miss(name, flow.inputs)
            said.append(f"column mapping: the flow has no input {name!r}" + (f"; {hint}" if hint else ""))
    optional = {name for name in parts if name in flow.inputs and flow.inputs[name].default is not None}
    return _Each(
        plan.values,
        plan.optional | optional,
        [*plan.notes, *said],
        is_certain=False,
        parts={name: Ref.in_mapping(value).name for name, value in parts.items() if name in flow.inputs},
        source=source,
    )


def _part(turn: Turn, path: str) -> Any:
    value: Any = turn
    for step in path.split("."):
        if not isinstance(value, Mapping) or value.get(step) is None:
            return _ABSENT
        value = value[step]
    return value
