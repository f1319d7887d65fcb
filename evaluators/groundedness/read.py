import json

from promptflow_lite import tool

NOTHING = {"score": None, "reason": None, "unreadable": False}
UNREADABLE = {**NOTHING, "unreadable": True}


@tool
def read(judgement: str, judged: bool) -> dict:
    """The judge's score and reason; both `None` where nothing was judged or the answer cannot be read."""
    if not judged:
        return NOTHING
    try:
        found = json.loads(judgement)
        score, reason = found["score"], str(found["reason"])
    except (ValueError, TypeError, KeyError):
        return UNREADABLE
    if isinstance(score, bool) or score not in (1, 2, 3, 4, 5):
        return UNREADABLE
    return {"score": int(score), "reason": reason, "unreadable": False}
