"""What comes of a line that is a conversation? The flow for each of its turns, one after the other.

A chat flow hears its own answers as history. Any other flow, such as an evaluator, gets each turn by itself.
The first turn that fails ends the line.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter, time
from typing import Any

from promptflow_lite.engine.line import run_line
from promptflow_lite.engine.results import Failure, LineResult, NodeRun, Status
from promptflow_lite.errors import InputError
from promptflow_lite.flow.conversation import TURNS, Roles, Turn, read_turns, roles_of
from promptflow_lite.flow.spec import Flow
from promptflow_lite.tools.scope import Usage
from promptflow_lite.tools.tool import BoundFlow

__all__ = ["ahead", "by_turn", "plain_inputs", "run_conversation", "run_each", "turn_of"]

_OF_TURN = re.compile(r"(.+) \(turn (\d+)\)")


async def run_conversation(bound: BoundFlow, inputs: Mapping[str, Any], **how: Any) -> LineResult:
    """What came of a chat flow that was asked one question after the other.

    Args:
        bound: the flow.
        inputs: `turns` is the conversation (`flow.conversation.read_turns`); the others are the same for
            every turn, which may have its own. A chat history is what was said before the first turn.
        how: as for `engine.line.run_line`.

    Returns:
        The outputs of the last turn and `turns`: each with its `question`, `answer`, `outputs`, tokens
        (`usage`) and `seconds`, beside what the data says of it. Node runs are `NAME (turn N)`.
    """
    roles = roles_of(bound.flow)
    assert roles is not None  # noqa: S101  (who asks for a conversation has looked)
    line = _Line(inputs, how)
    turns, wrong = read_turns(inputs.get(TURNS), roles.question)
    if wrong:
        return line.ended(Failure("bad-turns", "; ".join(wrong)), {})
    common, history = plain_inputs(inputs, roles)
    done: list[dict[str, Any]] = []
    outputs: dict[str, Any] = {}
    error: Failure | None = None
    for number, turn in enumerate(turns, 1):
        given = {**common, **turn.get("inputs", {}), roles.question: turn["question"]}
        if roles.history is not None:
            given[roles.history] = list(history)
        result = await line.turn(bound, given, f"turn {number} of {len(turns)}", number)
        error = result.error
        if error is not None:
            break
        outputs = result.outputs
        line.adopt(result, {*turn.get("inputs", {}), roles.question, roles.history})
        history += roles.said(turn["question"], outputs)
        done.append(_recorded(turn, result, roles))
    return line.ended(error, {**({} if error else outputs), TURNS: done})


async def run_each(bound: BoundFlow, inputs: Mapping[str, Any], **how: Any) -> LineResult:
    """What came of a flow that was given each turn by itself.

    Args:
        bound: the flow.
        inputs: `turns` has the inputs of each turn, or `None` for one with nothing to run; the others are the
            same for every turn.
        how: as for `engine.line.run_line`.

    Returns:
        The mean of each number over the turns that have it, and under `turns` the outputs of each, `None` for
        those that did not run. Node runs are `NAME (turn N)`.
    """
    line = _Line(inputs, how)
    common = {name: value for name, value in inputs.items() if name != TURNS}
    turns: list[Mapping[str, Any] | None] = inputs[TURNS]
    done: list[dict[str, Any] | None] = []
    error: Failure | None = None
    for number, turn in enumerate(turns, 1):
        if turn is None:
            done.append(None)
            continue
        result = await line.turn(bound, {**common, **turn}, f"turn {number} of {len(turns)}", number)
        error = result.error
        if error is not None:
            break
        done.append(result.outputs)
        line.adopt(result, turn)
    return line.ended(error, {**({} if error else _means(done)), TURNS: done})


def ahead(flow: Flow, inputs: Mapping[str, Any], *, talks: bool) -> list[dict[str, Any]]:
    """The inputs of each turn of a line as far as they are known before it runs: answers are empty texts.

    Args:
        flow: what is run.
        inputs: of the line.
        talks: whether the line is a conversation with the flow, or turns that it gets one each.
    """
    roles = roles_of(flow)
    if not talks or roles is None:
        common = {name: value for name, value in inputs.items() if name != TURNS}
        return [{**common, **turn} for turn in inputs[TURNS] if turn is not None]
    common, history = plain_inputs(inputs, roles)
    found: list[dict[str, Any]] = []
    for turn in read_turns(inputs.get(TURNS), roles.question)[0]:
        given = {**common, **turn.get("inputs", {}), roles.question: turn["question"]}
        found.append(given if roles.history is None else {**given, roles.history: list(history)})
        history += roles.said(turn["question"], {roles.answer: ""})
    return found


def plain_inputs(inputs: Mapping[str, Any], roles: Roles) -> tuple[dict[str, Any], list[Any]]:
    """The inputs that are the same for every turn, and what was said before the first one."""
    common = {name: value for name, value in inputs.items() if name not in (TURNS, roles.history)}
    before = inputs.get(roles.history) if roles.history is not None else None
    return common, list(before or [])


def turn_of(key: str) -> tuple[str, int | None]:
    """The node that a key of `node_runs` is of, and the number of the turn; `None` in no conversation.

    >>> turn_of("reply (turn 2)"), turn_of("reply")
    (('reply', 2), ('reply', None))
    """
    match = _OF_TURN.fullmatch(key)
    return (key, None) if match is None else (match[1], int(match[2]))


def by_turn(result: LineResult, flow: Flow) -> list[LineResult]:
    """A line's turns as lines, for what is made of all of them; a line that is no conversation as it is."""
    runs: dict[int, dict[str, NodeRun]] = {}
    for key, run in result.node_runs.items():
        name, number = turn_of(key)
        if number is None:
            return [result]
        runs.setdefault(number, {})[name] = run
    if not runs or result.error is not None:
        return [result]
    common = {name: value for name, value in result.inputs.items() if name != TURNS}
    return [
        replace(result, inputs={**common, **given}, outputs=outputs, node_runs=runs[number], usage=Usage())
        for number, (given, outputs) in enumerate(_given_and_made(result, roles_of(flow)), 1)
        if number in runs
    ]


def _given_and_made(
    result: LineResult, roles: Roles | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The inputs that each turn had of its own, and its outputs; of none that did not run."""
    given: Any = result.inputs[TURNS]
    for at, made in enumerate(result.outputs[TURNS]):
        if made is not None and "question" in made and roles is not None:
            yield {**made.get("inputs", {}), roles.question: made["question"]}, made["outputs"]
        else:
            yield (given[at] or {}), (made or {})


class _Line:
    """A line under way: what its turns took together."""

    def __init__(self, inputs: Mapping[str, Any], how: Mapping[str, Any]) -> None:
        self._inputs = dict(inputs)
        self._how = dict(how)
        self._timeout_s: float | None = self._how.pop("timeout_s", None)
        self._started, self._began = time(), perf_counter()
        self._runs: dict[str, NodeRun] = {}
        self._usage = Usage()
        self._logs: list[str] = []

    async def turn(self, bound: BoundFlow, inputs: Mapping[str, Any], where: str, number: int) -> LineResult:
        """What came of one turn; its error says which turn it was."""
        left = None if self._timeout_s is None else self._timeout_s - (perf_counter() - self._began)
        try:
            result = await run_line(
                bound, inputs, timeout_s=left if left is None else max(left, 0.0), **self._how
            )
        except InputError as error:
            failure = Failure(error.code, f"{where}: {error.message}")
            return LineResult(None, Status.Failed, dict(inputs), error=failure)
        self._usage.add(result.usage)
        self._runs |= {f"{name} (turn {number})": run for name, run in result.node_runs.items()}
        self._logs.append(result.logs)
        if result.error is None:
            return result
        said = result.error.message
        if result.error.code == "timeout" and result.error.message.startswith("the line took"):
            said = f"the line took longer than {self._timeout_s:g} s"
        return replace(result, error=replace(result.error, message=f"{where}: {said}"))

    def adopt(self, result: LineResult, own: Container[str | None]) -> None:
        """Keep the inputs that a turn had besides its own ones: as declared, with defaults filled in."""
        self._inputs |= {name: value for name, value in result.inputs.items() if name not in own}

    def ended(self, error: Failure | None, outputs: dict[str, Any]) -> LineResult:
        """The line's result."""
        return LineResult(
            self._how.get("line_number"),
            Status.Completed if error is None else Status.Failed,
            self._inputs,
            outputs,
            self._runs,
            error,
            self._started,
            perf_counter() - self._began,
            self._usage,
            "".join(self._logs),
            self._how.get("repeat", 0),
        )


def _recorded(turn: Turn, result: LineResult, roles: Roles) -> dict[str, Any]:
    """A turn with what came of it; an answer of the data is what was wanted, unless that is said."""
    before = {name: value for name, value in turn.items() if name not in ("answer", "outputs", "usage")}
    if "answer" in turn:
        before.setdefault("expected", turn["answer"])
    return {
        **before,
        "answer": result.outputs.get(roles.answer),
        "outputs": result.outputs,
        "usage": {
            "prompt_tokens": result.usage.prompt_tokens,
            "completion_tokens": result.usage.completion_tokens,
        },
        "seconds": round(result.seconds, 4),
    }


def _means(turns: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Each number's mean over the turns that have it; `None` where every turn has nothing to score."""
    names = {name: None for turn in turns if turn for name in turn}
    found: dict[str, Any] = {}
    for name in names:
        values = [turn[name] for turn in turns if turn and turn.get(name) is not None]
        if not values:
            found[name] = None
        elif all(isinstance(value, int | float) for value in values):
            found[name] = sum(values) / len(values)
    return found
