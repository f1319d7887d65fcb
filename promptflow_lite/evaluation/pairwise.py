"""Which of two answers did a judge prefer? It is asked twice, with the places of the answers changed.

Judges favour a place (Zheng et al. 2023, section 3.3): what they prefer in one place only counts as a tie.
In a flow: `tool: promptflow_lite.evaluation.pairwise.read_preference`.
"""

from __future__ import annotations

from typing import Any

from promptflow_lite.evaluation.judging import read_object, unread
from promptflow_lite.tools.scope import log_metric
from promptflow_lite.tools.tool import tool

__all__ = ["read_preference", "report"]

Preference = dict[str, Any]
"""`preference`: 1 where the answer is better, 0 where the baseline's is, 0.5 a tie; `None`: not judged.

`verdict` says it in words, `is_consistent` whether both places gave the same, `first` how many of the
judgements that decided preferred the first place, of `decided`.
"""

_CHOICES = ("first", "second", "tie")
_NOTHING: Preference = {
    "preference": None,
    "verdict": None,
    "is_consistent": None,
    "reason": None,
    "first": 0,
    "decided": 0,
    "unreadable": False,
}
_WORTH = {"win": 1.0, "tie": 0.5, "loss": 0.0}


@tool
def read_preference(judgement: str, swapped: str, judged: bool) -> Preference:
    """What two judgements of the form `{"reason": ..., "better": "first"}` say together.

    Args:
        judgement: of the answer in the first place.
        swapped: of the answer in the second place.
        judged: whether the judge was asked.
    """
    if not judged:
        return _NOTHING
    found = [read_object(text) for text in (judgement, swapped)]
    choices = [one.get("better") for one in found]
    if any(choice not in _CHOICES for choice in choices):
        broken = next(
            text for text, c in zip((judgement, swapped), choices, strict=True) if c not in _CHOICES
        )
        return {**_NOTHING, "reason": unread(broken), "unreadable": True}
    in_first = {"first": "win", "second": "loss", "tie": "tie"}[str(choices[0])]
    in_second = {"first": "loss", "second": "win", "tie": "tie"}[str(choices[1])]
    verdict = in_first if in_first == in_second else "tie"
    return {
        "preference": _WORTH[verdict],
        "verdict": verdict,
        "is_consistent": in_first == in_second,
        "reason": str(found[0].get("reason", "")),
        "first": choices.count("first"),
        "decided": 2 - choices.count("tie"),
        "unreadable": False,
    }


@tool
def report(preferences: list[Preference]) -> dict[str, float]:
    """Log the win rate (a tie is half a win), what it is made of, and how far the judge favours a place."""
    judged = [line for line in preferences if line["preference"] is not None]
    unreadable = sum(line["unreadable"] for line in preferences)
    metrics: dict[str, float] = {
        "scored": len(judged),
        "unreadable": unreadable,
        "skipped": len(preferences) - len(judged) - unreadable,
    }
    if judged:
        metrics["win_rate"] = sum(line["preference"] for line in judged) / len(judged)
        for verdict, plural in (("win", "wins"), ("tie", "ties"), ("loss", "losses")):
            metrics[plural] = sum(line["verdict"] == verdict for line in judged)
        metrics["consistent"] = sum(line["is_consistent"] for line in judged) / len(judged)
    if decided := sum(line["decided"] for line in judged):
        metrics["first_place_preferred"] = sum(line["first"] for line in judged) / decided
    for name, value in metrics.items():
        log_metric(name, value)
    return metrics
