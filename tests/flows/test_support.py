"""The sample flow `support`: its branches, its checks, its data."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite import load_flow
from promptflow_lite import test as run_test
from tests.flows.conftest import Samples, rows
from tests.model_server import ModelServer

NOT_SAID = "The manual does not say. If you like, I can hand you over to a colleague."


@pytest.fixture
def ask(samples: Samples, model: ModelServer) -> Any:
    return load_flow(samples("support"))


def node(samples: Samples, name: str, **inputs: Any) -> Any:
    return run_test(samples("support"), inputs, node=name)


def test_a_product_question_is_answered_from_the_manual_with_its_section(ask: Any) -> None:
    outputs = ask(question="How do I clean the dust sensor?")
    assert outputs["intent"] == "product_question"
    assert outputs["sources"][0] == "en/3-care.md#Cleaning the sensor"
    assert "[1]" in outputs["answer"]
    assert "dry cotton swab" in outputs["context"]


def test_a_japanese_question_is_answered_from_the_japanese_manual(ask: Any) -> None:
    outputs = ask(question="センサーの掃除はどうやりますか？")
    assert outputs["sources"][0] == "ja/3-care.md#センサーの掃除"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "Where is order KZ-10482?",
            "Order KZ-10482 (Mori 20 air purifier) is on its way and should arrive on 2026-05-14.",
        ),
        (
            "注文番号ＫＺ－１０４６６の配送状況は？",
            "ご注文KZ-10466（空気清浄機 モリ20）は2026-05-02にお届け済みです。",
        ),
        (
            "kz 99999 is late",
            "I cannot find an order KZ-99999. Please check the number in the confirmation e-mail.",
        ),
    ],
)
def test_an_order_is_looked_up_by_its_number(ask: Any, question: str, answer: str) -> None:
    assert ask(question=question) == {
        "answer": answer,
        "intent": "order_status",
        "sources": [],
        "citations": [],
        "context": "",
    }


def test_who_asks_for_an_order_without_a_number_is_asked_for_it(ask: Any) -> None:
    assert "order number" in ask(question="Where is my order?")["answer"]


@pytest.mark.parametrize(
    ("question", "start"),
    [("I want a person.", "I am handing you over"), ("担当者と話したい。", "担当者におつなぎします")],
)
def test_who_wants_a_person_is_handed_over_in_the_language_of_the_question(
    ask: Any, question: str, start: str
) -> None:
    outputs = ask(question=question)
    assert (outputs["intent"], outputs["sources"]) == ("human_agent", [])
    assert outputs["answer"].startswith(start)


def test_the_branches_not_taken_ask_no_model(ask: Any, model: ModelServer) -> None:
    ask(question="Where is order KZ-10482?")
    assert model.count == 1


def test_the_manual_says_nothing_about_it_so_the_model_is_not_asked(ask: Any, model: ModelServer) -> None:
    outputs = ask(question="Is there Bluetooth?", chat_history=[])
    assert outputs["intent"] != "product_question" or (outputs["answer"], model.count) == (NOT_SAID, 1)


PASSAGES = [
    {"source": "a.md#Filter", "heading": "Filter", "text": "Replace the filter every 12 months."},
    {"source": "a.md#Sensor", "heading": "Sensor", "text": "Clean the sensor every 2 months."},
]


def cited(samples: Samples, answer: str | None) -> Any:
    return node(samples, "cite", answer=answer, passages=PASSAGES, question="How often?", language="en")


def test_each_sentence_cites_the_passage_that_shares_most_words(samples: Samples) -> None:
    found = cited(samples, "Clean the sensor every 2 months. Replace the filter every 12 months. [7]")
    assert found["answer"] == "Clean the sensor every 2 months. [1] Replace the filter every 12 months. [2]"
    assert found["sources"] == ["a.md#Sensor", "a.md#Filter"]
    assert found["citations"] == [{"number": 1, **PASSAGES[1]}, {"number": 2, **PASSAGES[0]}]


@pytest.mark.parametrize(
    "answer",
    [
        "Replace the filter every 13 months.",  # a figure of no passage
        "Dogs like walking along rivers.",  # words of no passage
        "",
        None,
    ],
)
def test_what_no_passage_says_is_not_answered(samples: Samples, answer: str | None) -> None:
    found = cited(samples, answer)
    assert (found["answer"], found["sources"]) == (NOT_SAID, [])


def test_a_follow_up_is_read_together_with_the_question_before(samples: Samples) -> None:
    history = [{"inputs": {"question": "How loud is Turbo mode?"}, "outputs": {"answer": "52 dB [1]"}}]
    follow_up = node(samples, "understand", question="And in Quiet mode?", chat_history=history)
    assert follow_up["query"] == "How loud is Turbo mode? And in Quiet mode?"
    fresh = "I would like to know how long the warranty of the motor is."
    assert node(samples, "understand", question=fresh, chat_history=history)["query"] == fresh


@pytest.mark.parametrize("answer", ["no JSON", "{}", '{"intent": "drop tables"}'])
def test_what_cannot_be_read_goes_to_a_person(samples: Samples, answer: str) -> None:
    assert node(samples, "route", answer=answer, order_number="") == "human_agent"


def test_the_table_of_orders_cannot_be_written_to(samples: Samples) -> None:
    space: dict[str, Any] = {"__file__": str(samples("support") / "order.py"), "__name__": "order"}
    code = (
        (samples("support") / "order.py")
        .read_text(encoding="utf-8")
        .replace("promptflow.core", "promptflow_lite")
    )
    exec(code, space)
    with (
        closing(space["orders"]()) as orders,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        orders.execute("delete from orders")


def test_every_gold_section_is_in_the_manual_in_both_languages(samples: Samples) -> None:
    manual = samples("support") / "manual"
    for row in rows(samples("support") / "data.jsonl") + rows(samples("support") / "dev.jsonl"):
        if row["source"]:
            file, _, heading = row["source"].partition("#")
            assert f"## {heading}\n" in (manual / file).read_text(encoding="utf-8"), row["source"]
    for english in (manual / "en").glob("*.md"):
        japanese = manual / "ja" / english.name
        assert headings(english) == headings(japanese), english.name


def headings(path: Path) -> int:
    return len(re.findall(r"^## ", path.read_text(encoding="utf-8"), re.MULTILINE))


UNITS = r"cm|m²|m³|kg|g|m|dB|W|V|°C|GHz|µg/m³|µm|%"


def test_both_manuals_hold_the_same_figures(samples: Samples) -> None:
    manual = samples("support") / "manual"
    english, japanese = figures(manual / "en"), figures(manual / "ja")
    assert english == japanese
    assert len(english) > 25


def figures(folder: Path) -> set[tuple[str, str]]:
    found = [
        re.findall(rf"(\d+(?:\.\d+)?) ({UNITS})(?![A-Za-z])", path.read_text("utf-8"))
        for path in folder.glob("*.md")
    ]
    return {figure for each in found for figure in each}


def test_the_data_share_no_question_with_the_examples_and_cover_every_branch(samples: Samples) -> None:
    data = rows(samples("support") / "data.jsonl")
    seen = {row["content"] for row in rows(samples("support") / "examples.jsonl")}
    assert len(data) >= 40
    assert not seen & {row["question"] for row in data}
    assert set(Counter(row["intent"] for row in data)) == {"product_question", "order_status", "human_agent"}
    assert any(row["intent"] == "product_question" and not row["source"] for row in data)


def test_the_gold_section_is_nearly_always_among_those_shown(samples: Samples, ask: Any) -> None:
    answerable = [row for row in rows(samples("support") / "data.jsonl") if row["source"]]
    shown = 0
    for row in answerable:
        outputs = ask(question=row["question"], chat_history=row.get("chat_history", []))
        shown += row["source"].partition("#")[2] in outputs["context"]
    assert shown >= 0.8 * len(answerable)
