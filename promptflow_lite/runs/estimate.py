"""What will a run cost? Its prompts are rendered line by line, and nothing is sent and no user code called.

What depends on the answer of a model or on code is not known before: it counts nothing in the lower estimate
and, in the upper one, as much as its model may say at most. Where nothing bounds that, an assumption is made
and said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from promptflow_lite.engine.turns import ahead
from promptflow_lite.errors import InputError, PromptflowError
from promptflow_lite.flow.refs import Ref, follow
from promptflow_lite.flow.types import coerce_inputs
from promptflow_lite.runs.job import Line
from promptflow_lite.runs.prices import Prices
from promptflow_lite.runs.tokens import HOW, counter, of_request
from promptflow_lite.runs.turns import Mode
from promptflow_lite.tools.scope import Usage
from promptflow_lite.tools.tool import BoundFlow, BoundNode

__all__ = ["ANSWER", "UNKNOWN", "Estimate", "Estimated", "Range", "estimate"]

ANSWER = 1000
"""Tokens of an answer to which the flow sets no limit."""
UNKNOWN = 500
"""Tokens of a value that code makes."""


@dataclass(slots=True)
class Range:
    """At least, at most."""

    low: float = 0.0
    high: float = 0.0

    def add(self, low: float, high: float) -> None:
        """Both more."""
        self.low += low
        self.high += high


@dataclass(slots=True)
class Estimate:
    """What one node asks of one model, or a whole run of all."""

    calls: Range = field(default_factory=Range)
    prompt_tokens: Range = field(default_factory=Range)
    completion_tokens: Range = field(default_factory=Range)
    cost: Range | None = None
    """US dollars; `None` where no price is known."""


@runtime_checkable
class _Asks(Protocol):
    """A tool that asks a model, and can say what it would ask."""

    address: str | None

    def request(self, inputs: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class _Text:
    """A text that is not known yet, and how many tokens it has at most."""

    most: float


_BYPASSED = object()
_HOLES: tuple[Any, ...] = ("", [], {}, None)
"""What may stand in a prompt where a value is not known: a template that loops over it wants no text."""


class _Dry:
    """One pass over the lines."""

    def __init__(self, bound: BoundFlow, kept: Collection[str], mode: Mode) -> None:
        self.bound = bound
        self.mode = mode
        self.history = bound.flow.chat_history if mode == "talk" else None
        """The input that holds answers nobody knows yet."""
        self.said = 0.0
        """Tokens of those answers at most."""
        self.kept = kept
        self.nodes: dict[tuple[str, str, str | None], Estimate] = defaultdict(Estimate)
        """By node, model and address."""
        self.notes: dict[str, None] = {}
        self.code: dict[str, None] = {}
        """Nodes of which nothing is known."""
        self.failed = 0

    def line(self, line: Line) -> None:
        flow, self.said = self.bound.flow, 0.0
        turns = ahead(flow, line.inputs, talks=self.mode == "talk") if self.mode else [line.inputs]
        try:
            given = [coerce_inputs(flow, turn)[0] for turn in turns]
        except InputError:
            self.failed += 1
            return
        answer = flow.outputs[flow.chat_output].reference if flow.chat_output in flow.outputs else None
        for inputs in given:
            values: dict[str, Any] = {}
            for name, bound in self.bound.nodes.items():
                if not bound.node.aggregation:
                    values[name] = self.node(bound, inputs, values)
            said = values.get(answer.name) if isinstance(answer, Ref) else None
            self.said += said.most if isinstance(said, _Text) else 0.0

    def node(self, bound: BoundNode, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """The node's output, as far as it is known."""
        runs = _runs(bound, inputs, values)
        if runs is False:
            return _BYPASSED
        given: dict[str, Any] = dict(bound.constants)
        given |= {name: _value(ref, inputs, values) for name, ref in bound.refs.items()}
        unknown = sum(value.most for value in given.values() if isinstance(value, _Text))
        if any(ref.scope == "inputs" and ref.name == self.history for ref in bound.refs.values()):
            unknown += self.said
        call = bound.tool.call
        if isinstance(call, _Asks):
            return self.call(bound.node.name, call, given, unknown, is_certain=runs is True)
        if bound.node.type == "prompt":
            text = _tried(lambda arguments: call(**arguments), given)
            return text if not unknown and text else _Text(unknown + counter("")[0](str(text or "")))
        self.code[bound.node.name] = None
        return _Text(UNKNOWN)

    def call(
        self, name: str, caller: _Asks, given: Mapping[str, Any], unknown: float, *, is_certain: bool
    ) -> _Text:
        body = _tried(caller.request, given)
        if body is None:
            self.note(f"node {name!r}: some prompts cannot be rendered before, and are not in here")
            return _Text(ANSWER)
        model = str(body.get("model") or "")
        count, is_exact = counter(model)
        if not is_exact:
            self.note(f"tokens of {model!r} are approximated: {HOW}")
        prompt = of_request(body, count)
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if not limit:
            self.note(f"node {name!r} sets no max_tokens: its answers count as up to {ANSWER} tokens")
        answers = float(limit or ANSWER) * float(body.get("n") or 1)
        if name in self.kept:
            return _Text(answers)
        found = self.nodes[name, model, caller.address]
        least = 1.0 if is_certain else 0.0
        found.calls.add(least, 1)
        found.prompt_tokens.add(least * prompt, prompt + unknown)
        found.completion_tokens.add(least, answers)
        return _Text(answers)

    def note(self, text: str) -> None:
        self.notes[text] = None


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a run will ask."""

    lines: int
    nodes: Mapping[str, Estimate]
    """By `node (model)`."""
    total: Estimate
    notes: tuple[str, ...]
    """What was assumed, and what is not counted."""


def estimate(
    bound: BoundFlow,
    lines: Iterable[Line],
    prices: Prices,
    *,
    kept: Collection[str] = (),
    mode: Mode = "",
) -> Estimated:
    """What these lines will ask of models, and what that costs.

    Args:
        bound: the flow.
        lines: as they would be run.
        prices: what models cost.
        kept: nodes for whose answers nobody is asked, as they are there.
        mode: whether the lines are conversations.
    """
    dry, count = _Dry(bound, kept, mode), 0
    for line in lines:
        dry.line(line)
        count += 1
    if dry.code:
        names = ", ".join(map(repr, dry.code))
        dry.note(
            f"code and searches are not run ({names}): what they ask of models is not in here, and what they "
            f"give to a prompt counts as 0 to {UNKNOWN} tokens"
        )
    for node in bound.nodes.values():
        if node.node.aggregation and isinstance(node.tool.call, _Asks):
            dry.note(f"node {node.node.name!r} runs once over all lines, and is not in here")
    if dry.failed:
        dry.note(f"{dry.failed} lines have inputs of the wrong type: they would fail, and are not in here")
    total, nodes = Estimate(), {}
    for (name, model, address), found in dry.nodes.items():
        found.cost = _cost(found, prices, model, address)
        if found.cost is None:
            dry.note(f"no price is known for the model {model!r}: the cost leaves it out")
        nodes[f"{name} ({model})" if model else name] = found
        for part in ("calls", "prompt_tokens", "completion_tokens"):
            getattr(total, part).add(getattr(found, part).low, getattr(found, part).high)
        if found.cost is not None:
            total.cost = total.cost or Range()
            total.cost.add(found.cost.low, found.cost.high)
    return Estimated(count, nodes, total, tuple(dry.notes))


def _cost(found: Estimate, prices: Prices, model: str, address: str | None) -> Range | None:
    price = prices.find(model, address)
    if price is None:
        return None
    low, high = (
        price.of(Usage(int(getattr(found.prompt_tokens, end)), int(getattr(found.completion_tokens, end))))
        for end in ("low", "high")
    )
    return Range(low, high)


def _runs(bound: BoundNode, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> bool | None:
    """Whether the node runs; `None` where that is not known before."""
    activate = bound.node.activate
    if activate is None:
        sources = bound.node.sources()
        return not (sources and all(values.get(name) is _BYPASSED for name in sources))
    when = activate.when
    found = _value(when, inputs, values) if isinstance(when, Ref) else when
    if found is _BYPASSED:
        return False
    return None if isinstance(found, _Text) else bool(found == activate.is_)


def _value(ref: Ref, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    value = inputs.get(ref.name) if ref.scope == "inputs" else values.get(ref.name, _Text(UNKNOWN))
    if isinstance(value, _Text) or value is _BYPASSED:
        return value
    try:
        return follow(value, ref)
    except InputError:
        return None


def _tried(make: Callable[[dict[str, Any]], Any], given: Mapping[str, Any]) -> Any:
    """What `make` gives with one hole or another where a value is not known; `None` where none will do."""
    for hole in _HOLES:
        try:
            return make({name: _shown(value, hole) for name, value in given.items()})
        except (PromptflowError, TypeError, ValueError):
            continue
    return None


def _shown(value: Any, hole: Any) -> Any:
    if value is _BYPASSED:
        return None
    return hole if isinstance(value, _Text) else value
