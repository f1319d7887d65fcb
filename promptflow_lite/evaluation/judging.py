"""What did a judge say? The tools that judging evaluators share: ask or not, read, log.

A judge is a model, and what it wrote is a stranger's text: it is parsed as JSON and compared, never
evaluated. An answer that cannot be read scores nothing and is counted. In a flow: `tool:
promptflow_lite.evaluation.judging.read_rating`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from promptflow_lite.evaluation.metrics.ranking import average_precision
from promptflow_lite.flow.conversation import read_turns
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.tool import tool

__all__ = [
    "read_claims",
    "read_object",
    "read_passages",
    "read_rating",
    "read_statements",
    "ready",
    "report",
    "told",
    "unread",
]

Reading = dict[str, Any]
"""`score`, `reason`, and whether it is `unreadable`; its score is `None` then, as that of nothing judged."""

_NOTHING: Reading = {"score": None, "reason": None, "unreadable": False}
_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_SHOWN = 120
_RATINGS = (1, 2, 3, 4, 5)
_VERDICTS = ("right", "wrong", "missing")


@tool
def ready(**needed: Any) -> bool:
    """Whether everything is there that the judge compares with: no blank text, no empty list."""
    return all(_is_there(value) for value in needed.values())


@tool
def read_rating(judgement: str, judged: bool) -> Reading:
    """A whole number from 1 to 5, of `{"reason": ..., "score": ...}`."""
    if not judged:
        return _NOTHING
    found = read_object(judgement)
    score = found.get("score")
    if isinstance(score, bool) or score not in _RATINGS or "reason" not in found:
        return _unreadable(judgement)
    return _scored(int(score), str(found["reason"]))


@tool
def read_claims(judgement: str, judged: bool) -> Reading:
    """The share of claims that are supported, of `{"claims": [{"claim": ..., "supported": true}]}`.

    A text without claims, such as a greeting, has nothing to score. The reason names what is not supported.
    """
    if not judged:
        return _NOTHING
    claims = _items(judgement, "claims")
    if claims is None or not all(isinstance(claim.get("supported"), bool) for claim in claims):
        return _unreadable(judgement)
    if not claims:
        return {**_NOTHING, "reason": "no claims"}
    not_supported = [str(claim.get("claim", "")) for claim in claims if not claim["supported"]]
    reason = f"not supported: {'; '.join(not_supported)}" if not_supported else "all claims are supported"
    return _scored(1 - len(not_supported) / len(claims), reason)


@tool
def read_statements(judgement: str, judged: bool) -> Reading:
    """The F1 of statements, of `{"statements": [{"statement": ..., "verdict": "right"}]}`.

    `right` stands in answer and reference, `wrong` in the answer alone, `missing` in the reference alone.
    """
    if not judged:
        return _NOTHING
    statements = _items(judgement, "statements")
    if not statements or not all(statement.get("verdict") in _VERDICTS for statement in statements):
        return _unreadable(judgement)
    by_verdict: dict[str, list[str]] = {verdict: [] for verdict in _VERDICTS}
    for statement in statements:
        by_verdict[statement["verdict"]].append(str(statement.get("statement", "")))
    right = len(by_verdict["right"])
    others = [
        f"{verdict}: {'; '.join(by_verdict[verdict])}" for verdict in _VERDICTS[1:] if by_verdict[verdict]
    ]
    return _scored(2 * right / (right + len(statements)), ". ".join(others) or "all statements are right")


@tool
def read_passages(judgement: str, judged: bool, documents: list[Any]) -> Reading:
    """The average precision of useful passages, of `{"passages": [{"passage": 1, "useful": true}]}`.

    The judge has to speak of every passage once; if it does not, it cannot be read.
    """
    if not judged:
        return _NOTHING
    passages = _items(judgement, "passages")
    if passages is None or not all(isinstance(passage.get("useful"), bool) for passage in passages):
        return _unreadable(judgement)
    numbers: list[Any] = [passage.get("passage") for passage in passages]
    wanted = list(range(1, len(documents) + 1))
    if any(type(number) is not int for number in numbers) or sorted(numbers) != wanted:
        return _unreadable(judgement)
    useful = [str(passage["passage"]) for passage in passages if passage["useful"]]
    score = average_precision([str(number) for number in wanted], useful)
    which = ", ".join(f"[{number}]" for number in sorted(useful, key=int)) or "none"
    return _scored(score, f"useful: {which} of {len(wanted)} passages")


@tool
def told(conversation: Any) -> str:
    """A conversation as text, each message under who said it; empty where nothing was said.

    The lines of a message but the first are indented: no message can speak for the other side.

    Raises:
        ValueError: it is no conversation.
    """
    if not conversation:
        return ""
    turns, wrong = read_turns(conversation)
    if wrong:
        raise ValueError(f"conversation: {'; '.join(wrong)}")
    said = [
        (who, turn[part])
        for turn in turns
        for who, part in (("User", "question"), ("Assistant", "answer"))
        if turn.get(part) is not None
    ]
    return "\n".join(f"{who}: {_indented(text)}" for who, text in said)


@tool
def report(readings: list[Reading], name: str) -> dict[str, float]:
    """Log the mean score as `name` over the lines that have one, and how many were unreadable or skipped."""
    scores = [line["score"] for line in readings if line["score"] is not None]
    unreadable = sum(line["unreadable"] for line in readings)
    metrics: dict[str, float] = {name: sum(scores) / len(scores)} if scores else {}
    metrics |= {
        "scored": len(scores),
        "unreadable": unreadable,
        "skipped": len(readings) - len(scores) - unreadable,
    }
    for metric, value in metrics.items():
        log_metric(metric, value)
    return metrics


def read_object(text: Any) -> dict[str, Any]:
    r"""The JSON object that a model wrote; empty where its answer is none.

    A code fence around it does not matter. Other words do: an object among them may be a piece of what is
    judged, which would score itself.

    >>> read_object('```json\n{"score": 5}\n```'), read_object('It says {"score": 5}.')
    ({'score': 5}, {})
    """
    if not isinstance(text, str):
        return {}
    fenced = _FENCED.fullmatch(text.strip())
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def unread(judgement: Any) -> str:
    """What is said in the place of a reason: how the judgement begins that cannot be read."""
    text = " ".join(str(judgement).split())
    return f"cannot be read: {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"


def _indented(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return "\n  ".join(text.splitlines())


def _is_there(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _items(text: Any, key: str) -> list[Mapping[str, Any]] | None:
    """The list of mappings under a key; `None` where there is none."""
    found = read_object(text).get(key)
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        return None
    return found


def _unreadable(judgement: Any) -> Reading:
    return {"score": None, "reason": unread(judgement), "unreadable": True}


def _scored(score: float, reason: str) -> Reading:
    return {"score": score, "reason": reason, "unreadable": False}
