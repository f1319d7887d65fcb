"""Conversations on the page: turn by turn, with what each scored, and side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import promptflow_lite as pf
from promptflow_lite.settings import settings
from tests.evaluation.page.reported import EVIL, data_of, page_of
from tests.evaluation.page.test_browser import opened
from tests.flows_of import write
from tests.runs.test_turns import ANSWER, TALK
from tests.serving.page.browser import Browser, launched

TURNS: list[dict[str, Any]] = [
    {
        "turns": [
            {"question": "荷物は？", "expected": "plain 荷物は？"},
            {"question": EVIL, "expected": "other"},
        ]
    },
    {"turns": ["One", "bad"]},
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The pages of `one` run of conversations, and of `two`."""
    folder = tmp_path_factory.mktemp("talks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PF_HOME", str(folder / "home"))
        patch.setenv("PF_TRACKING", "off")
        settings.cache_clear()
        for name in ("plain", "kind"):
            dag = TALK.replace("default: plain", f"default: {name}")
            base = pf.run(write(folder / name, dag=dag, answer__py=ANSWER), TURNS, name=name)
            pf.run("evaluator:qa_text", run=base, name=f"{name}_text")
        (folder / "one").mkdir()
        (folder / "two").mkdir()
        made = {
            "one": page_of("plain", folder=folder / "one"),
            "two": page_of("plain", "kind", folder=folder / "two"),
        }
    settings.cache_clear()
    yield made


def test_the_page_knows_each_turn_and_what_it_scored(page: dict[str, Path]) -> None:
    data = data_of(page["one"])
    whole, failed = (line["runs"]["plain"] for line in data["lines"])
    assert [data["texts"][turn["question"]] for turn in whole["turns"]] == ["荷物は？", EVIL]
    assert [turn["scores"]["exact_match"] for turn in whole["turns"]] == [1, 0]
    assert whole["scores"]["exact_match"] == 0.5
    assert [data["texts"][turn["answer"]] for turn in failed["turns"]] == ["plain One"]
    assert [node["node"] for node in failed["trace"]] == ["answer (turn 1)", "answer (turn 2)"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


def test_a_conversation_is_read_turn_by_turn(page: dict[str, Path], browser: Browser) -> None:
    with opened(browser, page["one"], "#line=0") as tab:
        turns = tab.locator("dialog .turns > li")
        assert turns.count() == 2
        assert "荷物は？" in turns.nth(0).inner_text()
        assert "exact_match 1" in turns.nth(0).inner_text()
        assert EVIL in turns.nth(1).inner_text()
        assert tab.evaluate("window.hacked") is None


def test_answers_of_two_runs_stand_side_by_side_in_each_turn(page: dict[str, Path], browser: Browser) -> None:
    with opened(browser, page["two"], "#line=0") as tab:
        turns = tab.locator("dialog .turns > li")
        assert turns.count() == 2
        assert turns.nth(0).locator("del").inner_text() == "plain"
        assert turns.nth(0).locator("ins").inner_text() == "kind"
