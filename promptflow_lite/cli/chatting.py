"""How does a person talk with a chat flow? Question, streamed answer, history; Ctrl-C and Ctrl-D."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_lite.cli.console import neutral, paint, say
from promptflow_lite.cli.failures import show_failure
from promptflow_lite.cli.trying import Trial, given_inputs
from promptflow_lite.engine.events import Chunk, Event
from promptflow_lite.engine.results import LineResult, Status
from promptflow_lite.errors import UserError
from promptflow_lite.flow.conversation import Roles, roles_of
from promptflow_lite.flow.spec import Flow
from promptflow_lite.flow.types import coerce

__all__ = ["converse"]


def converse(trial: Trial, given: Sequence[str] | None) -> int:
    """Ask, answer, and ask again until there is no more input; the exit code.

    Ctrl-C stops an answer; a second one, or Ctrl-D, leaves. Answers go to stdout; questions may be piped in.

    Args:
        trial: the flow; it needs a chat input and a chat output.
        given: inputs that stay the same for every question.

    Raises:
        UserError: the flow is no chat flow.
    """
    roles = _roles_of(trial.loaded.bound.flow)
    fixed = given_inputs(given)
    history: list[Mapping[str, Any]] = coerce(fixed.pop(roles.history, []), "list") if roles.history else []
    failed = False
    if sys.stdin.isatty():
        say(paint("Ctrl-C stops an answer, Ctrl-D leaves.", "dim"))
    with asyncio.Runner() as runner:
        while (question := _ask()) is not None:
            if not question.strip():
                continue
            inputs = {**fixed, roles.question: question} | (
                {roles.history: list(history)} if roles.history else {}
            )
            try:
                line = runner.run(_answer(trial, roles, inputs))
            except KeyboardInterrupt:
                say("\n(stopped)")
                continue
            if line.status is Status.Completed:
                history += roles.said(question, line.outputs)
            else:
                failed = True
        runner.run(trial.loaded.aclose())
    trial.records.keep_chat(history)
    return 1 if failed and not sys.stdin.isatty() else 0


def _roles_of(flow: Flow) -> Roles:
    roles = roles_of(flow)
    if roles is not None:
        return roles
    missing = [
        text
        for text, found in (
            ("an input with 'is_chat_input: true'", flow.chat_input),
            ("an output with 'is_chat_output: true'", flow.chat_output),
        )
        if not found
    ]
    raise UserError(
        f"--interactive: {flow.name!r} is no chat flow; it lacks {' and '.join(missing)}",
        code="no-chat-flow",
    )


def _ask() -> str | None:
    """The next question; `None` at the end of input, or after two Ctrl-C in a row."""
    interrupted = False
    while True:
        try:
            if not sys.stdin.isatty():
                line = sys.stdin.readline()
                return line.rstrip("\r\n") if line else None
            return input("> ")
        except EOFError:
            say("")
            return None
        except KeyboardInterrupt:
            say("" if interrupted else "\nCtrl-C again, or Ctrl-D, leaves.")
            if interrupted:
                return None
            interrupted = True


async def _answer(trial: Trial, roles: Roles, inputs: Mapping[str, Any]) -> LineResult:
    out, streamed = sys.stdout, False

    def show(event: Event) -> None:
        nonlocal streamed
        if isinstance(event, Chunk) and roles.answer in event.outputs:
            streamed = True
            print(neutral(event.text), end="", file=out, flush=True)

    with contextlib.redirect_stdout(sys.stderr):
        line = trial.images.keep(await trial.loaded.ainvoke(inputs, stream=True, emit=show))
    if line.status is Status.Completed and not streamed:
        print(neutral(str(line.outputs.get(roles.answer))), end="", file=out)
    if streamed or line.status is Status.Completed:
        print(file=out, flush=True)
    if line.error is not None:
        show_failure(line.error)
    return line
