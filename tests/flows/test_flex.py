"""The sample flows `flex` and `prompty`."""

from __future__ import annotations

import json

from promptflow_lite import Prompty, load_flow, run
from promptflow_lite.flow.check import check
from promptflow_lite.flow.load import load_flow as read_flow
from tests.conftest import ROOT
from tests.model_server import ModelServer

FLOWS = ROOT / "flows"
REVIEW = FLOWS / "prompty" / "review.prompty"


def test_both_have_no_complaints() -> None:
    assert check(read_flow(FLOWS / "flex")) == []
    assert check(read_flow(REVIEW)) == []


def test_a_review_becomes_its_mood_and_what_it_is_about(model: ModelServer) -> None:
    model.answer = lambda body: json.dumps({"mood": "bad", "about": "lamp", "more": 1})
    assert load_flow(REVIEW)(review="It broke.") == {"mood": "bad", "about": "lamp"}
    assert Prompty.load(REVIEW)() == {"mood": "bad", "about": "lamp"}
    said = [request.body["messages"][-1]["content"] for request in model.requests]
    assert said == ["It broke.", "The lamp is lovely, but it took three weeks to arrive."]


def test_replies_are_checked_and_counted(model: ModelServer) -> None:
    model.answer = lambda body: (
        "We will refund you." if "broken" in str(body["messages"][-1]) else "Thank you."
    )
    done = run(FLOWS / "flex", FLOWS / "flex" / "data.jsonl", init={"shop": "Us", "longest": 3})
    assert [detail["outputs"] for detail in done.details][1] == {
        "reply": "We will refund you.",
        "words": 4,
        "is_short": False,
        "promises": True,
    }
    assert done.metrics == {"mean_words": 8 / 3, "short": 2 / 3, "promises": 1}
    assert "answer reviews for Us" in model.requests[0].body["messages"][0]["content"]
