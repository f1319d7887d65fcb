"""Which node next? A plan compiled once a flow, and the state of one pass over it. Pure: no loop, no clock.

Every value has a slot: what is given from outside (flow inputs; for the aggregation nodes, lists over the
lines) and what each node gives. Prompt flow's rules: executor/_dag_manager.py, flow-language 1.5 and 1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptflow_lite.connections.base import Connection
from promptflow_lite.errors import InputError
from promptflow_lite.flow.refs import Ref, follow
from promptflow_lite.tools.tool import BoundFlow, BoundNode

__all__ = ["BYPASSED", "Plan", "Schedule", "Step", "plan_of"]

BYPASSED: Any = type("Bypassed", (), {"__repr__": lambda self: "BYPASSED"})()
"""What stands in the slot of a node that was bypassed."""

_UNSET: Any = object()


@dataclass(frozen=True, slots=True)
class Step:
    """A node as the plan has it."""

    name: str
    bound: BoundNode
    slot: int
    constants: Mapping[str, Any]
    shown: Mapping[str, Any] | None
    """The constants as a record may show them; `None` where they are the same."""
    plain: tuple[tuple[str, int], ...]
    """Parameters that take a whole value, and its slot."""
    deep: tuple[tuple[str, int, Ref], ...]
    """Parameters that take a part of a value."""
    optional: frozenset[str]
    """Parameters that may be left out when their source was bypassed."""
    sources: tuple[int, ...]
    """The slots of the nodes that its inputs read."""
    when: tuple[int, Ref] | None
    """What `activate` compares, where that is a reference."""
    active: bool | None
    """What `activate` comes to, where it compares a literal; `None` where it does not."""
    expected: Any
    dependents: tuple[int, ...]
    """Indexes of the steps that wait for this one."""
    outputs: tuple[str, ...]
    """The flow outputs that are this node's whole output."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes of a phase in topological order, with what each waits for."""

    steps: tuple[Step, ...]
    degrees: tuple[int, ...]
    given: Mapping[Ref, int]
    """The slot of each value that comes from outside."""
    outside: tuple[tuple[str | Ref, int], ...]
    """The same as `Schedule` is given them: flow inputs by name, lists over the lines by reference."""
    node_slots: Mapping[str, int]
    size: int


class Schedule:
    """The state of one pass: what is known, and what waits for what.

    Args:
        plan: the plan of the phase.
        given: the values from outside: the flow's inputs by name; for the aggregation nodes, lists by
            reference.
    """

    __slots__ = ("_any_bypassed", "_errors", "_fresh", "_plan", "_values", "_waiting")

    def __init__(self, plan: Plan, given: Mapping[Any, Any]) -> None:
        self._plan = plan
        values = self._values = [_UNSET] * plan.size
        for name, slot in plan.outside:
            values[slot] = given.get(name)
        self._waiting = list(plan.degrees)
        self._fresh = [index for index, degree in enumerate(plan.degrees) if degree == 0]
        self._errors: dict[str, InputError] = {}
        self._any_bypassed = False

    def advance(self) -> tuple[list[Step], list[Step]]:
        """The steps that became ready, and those that were bypassed, since the last call.

        Bypassing goes on to a fixed point: whatever only a bypassed node held back is decided in the same
        call.
        """
        ready: list[Step] = []
        bypassed: list[Step] = []
        steps = self._plan.steps
        for index in self._fresh:  # grows while it is read
            step = steps[index]
            if self._is_bypassed(step):
                self._any_bypassed = True
                self._settle(step, BYPASSED)
                bypassed.append(step)
            else:
                ready.append(step)
        self._fresh.clear()
        return ready, bypassed

    def complete(self, step: Step, output: Any) -> None:
        """Take `output` as what the step gave."""
        self._settle(step, output)

    def arguments(self, step: Step) -> dict[str, Any]:
        """What the step's tool is called with.

        Raises:
            InputError: a property that it reads is not there (`bad-property`), or its `activate` cannot be
                compared.
        """
        if self._errors and step.name in self._errors:
            raise self._errors[step.name]
        values = self._values
        arguments = dict(step.constants)
        for parameter, slot in step.plain:
            value = values[slot]
            if value is BYPASSED:
                if parameter in step.optional:
                    continue
                value = None
            arguments[parameter] = value
        for parameter, slot, ref in step.deep:
            value = values[slot]
            if value is not BYPASSED:
                arguments[parameter] = follow(value, ref)
            elif parameter not in step.optional:
                arguments[parameter] = None
        return arguments

    def value(self, ref: Ref) -> Any:
        """What a flow output's reference leads to: `None` for a bypassed node.

        Raises:
            InputError: a property is not there, or is asked of a bypassed node (`bad-property`).
        """
        slot = self._plan.node_slots[ref.name] if ref.scope == "node" else self._plan.given[ref]
        value = self._values[slot]
        if value is BYPASSED:
            if ref.path:
                raise InputError(
                    f"{ref}: node {ref.name!r} was bypassed and has no properties", code="bad-property"
                )
            return None
        return follow(value, ref) if ref.path else value

    def _settle(self, step: Step, value: Any) -> None:
        self._values[step.slot] = value
        waiting = self._waiting
        for index in step.dependents:
            waiting[index] -= 1
            if waiting[index] == 0:
                self._fresh.append(index)

    def _is_bypassed(self, step: Step) -> bool:
        if step.when is not None:
            return self._is_inactive(step, *step.when)
        if step.active is not None:
            return not step.active
        if not self._any_bypassed or not step.sources:
            return False
        return all(self._values[slot] is BYPASSED for slot in step.sources)

    def _is_inactive(self, step: Step, slot: int, ref: Ref) -> bool:
        value = self._values[slot]
        if value is BYPASSED:
            return True
        try:
            return not bool(follow(value, ref) == step.expected)
        except InputError as error:
            self._errors[step.name] = error
        except (TypeError, ValueError) as error:  # an array has no single truth
            self._errors[step.name] = InputError(
                f"activate: {ref} cannot be compared with {step.expected!r}: {error}", code="bad-activate"
            )
        return False


def plan_of(bound: BoundFlow, *, aggregation: bool) -> Plan:
    """The plan of the flow's line, or of its aggregation; compiled once and kept with the flow."""
    key = "aggregation" if aggregation else "line"
    plan = bound.plan.get(key)
    if plan is None:
        plan = bound.plan[key] = _compile(bound, aggregation=aggregation)
    known: Plan = plan
    return known


def _compile(bound: BoundFlow, *, aggregation: bool) -> Plan:
    nodes = [b for b in bound.nodes.values() if b.node.aggregation == aggregation]
    index_of = {b.node.name: index for index, b in enumerate(nodes)}
    outside = _outside(bound, nodes, index_of, aggregation=aggregation)
    given = {ref: slot for slot, ref in enumerate(outside)}
    node_slots = {name: len(given) + index for name, index in index_of.items()}

    def source(ref: Ref) -> tuple[int, Ref]:
        """The slot that `ref` reads, and what is left to follow there."""
        if ref.scope == "node" and ref.name in node_slots:
            return node_slots[ref.name], ref
        return given[ref], Ref(ref.scope, ref.name)

    waits = [{index_of[name] for name in b.node.sources() if name in index_of} for b in nodes]
    dependents: list[list[int]] = [[] for _ in nodes]
    for index, sources in enumerate(waits):
        for other in sorted(sources):
            dependents[other].append(index)
    steps = tuple(
        _step(b, node_slots, source, tuple(dependents[index]), _outputs_of(bound, b.node.name))
        for index, b in enumerate(nodes)
    )
    named = tuple((ref if aggregation else ref.name, slot) for ref, slot in given.items())
    return Plan(steps, tuple(len(w) for w in waits), given, named, node_slots, len(given) + len(nodes))


def _outside(
    bound: BoundFlow, nodes: Sequence[BoundNode], inside: Mapping[str, int], *, aggregation: bool
) -> list[Ref]:
    """Every reference that a value from outside answers, once."""
    refs: list[Ref] = [] if aggregation else [Ref("inputs", name) for name in bound.flow.inputs]
    for b in nodes:
        refs += b.refs.values()
        if b.node.activate is not None and isinstance(b.node.activate.when, Ref):
            refs.append(b.node.activate.when)
    if not aggregation:
        refs += [o.reference for o in bound.flow.outputs.values() if isinstance(o.reference, Ref)]
    return list(dict.fromkeys(ref for ref in refs if _is_outside(ref, inside, aggregation=aggregation)))


def _is_outside(ref: Ref, inside: Mapping[str, int], *, aggregation: bool) -> bool:
    return ref.scope == "inputs" or (aggregation and ref.name not in inside)


def _step(
    bound: BoundNode,
    node_slots: Mapping[str, int],
    source: Callable[[Ref], tuple[int, Ref]],
    dependents: tuple[int, ...],
    outputs: tuple[str, ...],
) -> Step:
    plain: list[tuple[str, int]] = []
    deep: list[tuple[str, int, Ref]] = []
    for parameter, ref in bound.refs.items():
        slot, rest = source(ref)
        if rest.path:
            deep.append((parameter, slot, rest))
        else:
            plain.append((parameter, slot))
    params = bound.tool.params
    activate = bound.node.activate
    when = source(activate.when) if activate is not None and isinstance(activate.when, Ref) else None
    return Step(
        name=bound.node.name,
        bound=bound,
        slot=node_slots[bound.node.name],
        constants=bound.constants,
        shown=_shown(bound.constants),
        plain=tuple(plain),
        deep=tuple(deep),
        optional=frozenset(name for name in bound.refs if name in params and not params[name].required),
        sources=tuple(
            dict.fromkeys(
                node_slots[r.name] for r in bound.refs.values() if r.scope == "node" and r.name in node_slots
            )
        ),
        when=when,
        active=None if activate is None or when is not None else activate.when == activate.is_,
        expected=None if activate is None else activate.is_,
        dependents=dependents,
        outputs=outputs,
    )


def _shown(constants: Mapping[str, Any]) -> dict[str, Any] | None:
    """Connections by their name: a record holds no secret."""
    if not any(isinstance(value, Connection) for value in constants.values()):
        return None
    return {name: value.name if isinstance(value, Connection) else value for name, value in constants.items()}


def _outputs_of(bound: BoundFlow, name: str) -> tuple[str, ...]:
    whole = Ref("node", name)
    return tuple(output for output, spec in bound.flow.outputs.items() if spec.reference == whole)
