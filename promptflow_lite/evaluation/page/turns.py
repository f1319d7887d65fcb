"""What was said in a line that is a conversation, and what did each turn score?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptflow_lite.evaluation.page.texts import Texts
from promptflow_lite.evaluation.scores import score_of
from promptflow_lite.flow.conversation import TURNS

__all__ = ["turns_of"]

Record = Mapping[str, Any]


def turns_of(record: Record, evaluations: Iterable[Record], texts: Texts) -> list[dict[str, Any]]:
    """The turns of a line, as far as it came: what was said, what was wanted, what each scored.

    Args:
        record: of the line.
        evaluations: the records of the same line in the runs that scored its turns.
        texts: of the page.
    """
    turns = (record["outputs"] or {}).get(TURNS)
    if not isinstance(turns, list) or not all(isinstance(t, Mapping) and "question" in t for t in turns):
        return []
    scored = [(found["outputs"] or {}).get(TURNS) for found in evaluations]
    return [
        {
            "question": texts.add(turn["question"]),
            "answer": texts.add(turn.get("answer")),
            "expected": texts.add(turn.get("expected")),
            "seconds": turn.get("seconds"),
            "tokens": _tokens(turn),
            "scores": _scores(scored, at),
        }
        for at, turn in enumerate(turns)
    ]


def _tokens(turn: Record) -> list[int]:
    usage = turn.get("usage") or {}
    return [usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)]


def _scores(scored: Sequence[Any], at: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for turns in scored:
        turn = turns[at] if isinstance(turns, list) and at < len(turns) else None
        for name, value in (turn if isinstance(turn, Mapping) else {}).items():
            if (score := score_of(value)) is not None:
                found[name] = float(f"{score:.6g}")
    return found
