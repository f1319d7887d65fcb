"""The sample flow `intent`, and its data."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from promptflow_lite import load_flow
from promptflow_lite import test as run_test
from tests.flows.conftest import Samples, rows
from tests.model_server import ModelServer


def test_data_and_examples_share_no_message_and_use_the_same_ten_intents(samples: Samples) -> None:
    folder = samples("intent")
    meanings = json.loads((folder / "intents.json").read_text(encoding="utf-8"))
    data, examples = rows(folder / "data.jsonl"), rows(folder / "examples.jsonl")
    assert not {row["message"] for row in data} & {row["content"] for row in examples}
    assert set(meanings) == {row["intent"] for row in data} == {row["intent"] for row in examples}
    assert len(meanings) == 10
    assert len(data) >= 60
    assert min(Counter(row["intent"] for row in examples).values()) >= 8


@pytest.mark.parametrize(("variant", "turns"), [("zero_shot", 0), ("few_shot", 20), ("retrieved", 4)])
def test_a_variant_decides_which_examples_the_model_sees(
    samples: Samples, model: ModelServer, variant: str, turns: int
) -> None:
    flow = load_flow(samples("intent"), variant=f"${{examples.{variant}}}")
    flow(message="Two of the plates came in pieces.")
    body = model.requests[-1].body
    assert [message["role"] for message in body["messages"]] == [
        "system",
        *["user", "assistant"] * turns,
        "user",
    ]
    assert body["messages"][-1]["content"] == "Two of the plates came in pieces."
    assert ("damaged_item: the customer" in body["messages"][0]["content"]) == (turns == 0)


def test_the_model_may_answer_nothing_but_one_of_the_ten_intents(
    samples: Samples, model: ModelServer
) -> None:
    load_flow(samples("intent"))(message="Hello")
    schema = model.requests[-1].body["response_format"]["json_schema"]
    intents = json.loads((samples("intent") / "intents.json").read_text(encoding="utf-8"))
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["intent"]["enum"] == list(intents)


def test_the_fixed_examples_take_turns_in_both_languages(samples: Samples, model: ModelServer) -> None:
    load_flow(samples("intent"))(message="Hello")
    labels = [m["content"] for m in model.requests[-1].body["messages"] if m["role"] == "assistant"]
    assert len(set(labels[:10])) == len(set(labels[10:])) == 10


def test_the_nearest_example_comes_last_and_its_label_is_mostly_right(
    samples: Samples, model: ModelServer
) -> None:
    """The scripted model gives the nearest example's label: embeddings alone, a baseline."""
    flow = load_flow(samples("intent"), variant="${examples.retrieved}")
    data = rows(samples("intent") / "data.jsonl")
    right = sum(flow(message=row["message"])["intent"] == row["intent"] for row in data)
    assert right >= 0.75 * len(data)


def test_an_answer_that_is_no_json_is_given_back_for_the_evaluator_to_count(samples: Samples) -> None:
    assert read_intent(samples, '{"intent": "payment"}') == "payment"
    assert read_intent(samples, " I think it is payment.") == "I think it is payment."
    assert read_intent(samples, "[]") == "[]"


def read_intent(samples: Samples, answer: str) -> str:
    return str(run_test(samples("intent"), {"answer": answer}, node="read_intent"))
