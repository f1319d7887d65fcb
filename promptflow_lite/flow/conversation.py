"""What was said in a conversation, and who says what in a chat flow? Turns read from data, history written.

Several ways to write a conversation are read: a list of questions, of turns, of messages with roles, and the
object of azure-ai-evaluation, `{"messages": [...]}`, whose messages may carry a `context`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptflow_lite.errors import near_miss
from promptflow_lite.flow.spec import Flow

__all__ = [
    "TURNS",
    "Roles",
    "Turn",
    "is_written_as_turns",
    "read_turns",
    "readable",
    "roles_of",
    "transcript",
    "with_history",
]

TURNS = "turns"
"""The column of data, the input of a line and its output that hold a conversation."""

Turn = dict[str, Any]
"""What was asked (`question`), what was answered (`answer`), what was wanted (`expected`), other `inputs`
of a flow for this turn, and whatever else the data says of it; nothing where it is not known."""

_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Roles:
    """Which inputs and outputs of a flow a chat is about."""

    question: str
    answer: str
    history: str | None
    """`None`: the turns do not know of each other."""
    as_messages: bool
    """Whether the history is a list of messages, as prompty files and flows of code have it; else it is
    Prompt flow's, the inputs and the outputs of each turn."""

    def said(self, question: Any, outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A turn as the history has it."""
        if self.as_messages:
            answer = outputs.get(self.answer)
            return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [{"inputs": {self.question: question}, "outputs": {self.answer: outputs.get(self.answer)}}]


def roles_of(flow: Flow) -> Roles | None:
    """Who says what; `None` if this is no chat flow.

    A prompt or a class that has a history and one other input needs no marks.
    """
    question, answer = flow.chat_input, flow.chat_output
    is_code = any(node.type in ("prompty", "flex") for node in flow.nodes)
    if question is None and flow.chat_history and is_code:
        others = {name: spec for name, spec in flow.inputs.items() if name != flow.chat_history}
        needed = [name for name, spec in others.items() if spec.default is None and not spec.optional]
        question = (needed or [*others])[0] if len(needed or others) == 1 else None
    if question is None or answer is None:
        return None
    return Roles(question, answer, flow.chat_history, is_code)


def read_turns(value: Any, question: str = "question") -> tuple[list[Turn], list[str]]:
    """The turns of a conversation, and what is wrong with those that are none.

    An answer stands beside its question whether the data has messages with roles or turns. Messages of the
    system are left out: a flow has its own. Several messages of one role in a row are one.

    Args:
        value: a list of questions, of turns (`{"question": ..., "expected": ...}` or `{"inputs": {...}}`) or
            of messages (`{"role": "user", "content": ...}`), an object whose `messages` or `turns` is one, or
            such JSON as text, as tables have it.
        question: the name of the chat input, which a turn may call its question by.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return [], [f"expected a conversation, got the text {value[:40]!r}"]
    common: dict[str, Any] = {}
    if isinstance(value, Mapping):
        common = {"context": value["context"]} if value.get("context") else {}
        value = value.get("messages", value.get(TURNS))
    if not isinstance(value, list) or not value:
        return [], ["expected a list of turns, or of messages, with at least one"]
    are_messages = [isinstance(item, Mapping) and "role" in item for item in value]
    read = _of_messages if any(are_messages) else _of_turns
    turns, wrong = read(value, question)
    return [{**common, **turn} for turn in turns], wrong


def is_written_as_turns(value: Any) -> bool:
    """Whether a value is meant for a conversation, if perhaps with mistakes.

    >>> is_written_as_turns(["Hi."]), is_written_as_turns('{"messages": []}'), is_written_as_turns(3)
    (True, True, False)
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return False
    return isinstance(value, list | Mapping)


def with_history(turns: Sequence[Turn]) -> list[Turn]:
    """Each turn with what was said before it, as messages, under `history`."""
    found: list[Turn] = []
    said: list[dict[str, Any]] = []
    for turn in turns:
        found.append({**turn, "history": list(said)})
        said += [
            {"role": role, "content": turn[part]}
            for role, part in (("user", "question"), ("assistant", "answer"))
            if turn.get(part) is not None
        ]
    return found


def _of_turns(items: Sequence[Any], question: str) -> tuple[list[Turn], list[str]]:
    turns: list[Turn] = []
    wrong: list[str] = []
    for at, item in enumerate(items):
        where = f"turn {at + 1}"
        if not isinstance(item, Mapping):
            turns.append({"question": item})
            is_said = item.strip() if isinstance(item, str) else isinstance(item, list) and item
            wrong += [] if is_said else [f"{where}: expected a question, got {item!r}"]
            continue
        turn = dict(item)
        inputs = turn.get("inputs", {})
        if not isinstance(inputs, Mapping):
            wrong.append(f"{where}: 'inputs': expected values by name, got {inputs!r}")
            continue
        asked = [turn.pop(question, None), turn.pop("question", None), inputs.get(question)]
        asked = [one for one in asked if one not in (None, "")]
        if len(asked) != 1:
            said = "two questions" if asked else f"no {question!r}"
            hint = None if asked else near_miss(question, [*map(str, turn)])
            wrong.append(f"{where}: {said}" + (f"; {hint}" if hint else ""))
            continue
        rest = {name: given for name, given in inputs.items() if name != question}
        turn.pop("inputs", None)
        turns.append({"question": asked[0], **turn, **({"inputs": rest} if rest else {})})
    return turns, wrong


def _of_messages(items: Sequence[Any], question: str) -> tuple[list[Turn], list[str]]:
    turns: list[Turn] = []
    wrong: list[str] = []
    for at, item in enumerate(items):
        where = f"message {at + 1}"
        role = item.get("role") if isinstance(item, Mapping) else None
        if role not in _ROLES:
            wrong.append(f"{where}: 'role': expected one of {', '.join(_ROLES)}, got {role!r}")
            continue
        part = {"user": "question", "assistant": "answer"}.get(role)
        if part is None:
            continue
        content = _text(item.get("content"))
        if content in (None, "", []):
            if part == "question":
                wrong.append(f"{where}: no 'content'")
            continue  # an assistant that called a tool said nothing
        if part == "question" and (not turns or "answer" in turns[-1]):
            turns.append({})
        if not turns:
            continue  # a greeting: nobody had asked
        turn = turns[-1]
        others = {name: given for name, given in item.items() if name not in ("role", "content", "name")}
        turns[-1] = {**turn, **others, part: _joined(turn.get(part), content)}
    if not turns and not wrong:
        wrong.append("no message of the user")
    return turns, wrong


def _text(content: Any) -> Any:
    """The text of a message in parts, as OpenAI and azure-ai-evaluation write it; parts with images stay."""
    if not isinstance(content, list):
        return content
    texts = [
        part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None
        for part in content
    ]
    return "\n".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else content


def _joined(before: Any, content: Any) -> Any:
    if before is None:
        return content
    if isinstance(before, str) and isinstance(content, str):
        return f"{before}\n\n{content}"
    return [*(before if isinstance(before, list) else [before]), content]


def readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs or outputs of a line, with its conversation as a person reads it."""
    told = transcript(values.get(TURNS))
    return dict(values) if told is None else {**values, TURNS: told}


def transcript(value: Any) -> str | None:
    """A conversation as a person reads it: each question with its number, its answer below.

    >>> print(transcript([{"question": "Hi.", "answer": "Hello."}, "And now?"]))
    1. Hi.
       Hello.
    2. And now?

    Returns:
        `None` where the value is no conversation.
    """
    turns, wrong = read_turns(value) if isinstance(value, list | Mapping) else ([], ["no list"])
    if wrong:
        return None
    return "\n".join(line for number, turn in enumerate(turns, 1) for line in _told(number, turn))


def _told(number: int, turn: Turn) -> list[str]:
    said = [turn["question"], *([turn["answer"]] if turn.get("answer") is not None else [])]
    texts = [part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in said]
    return [f"{number}. {texts[0]}", *(f"   {text}" for text in texts[1:])]
