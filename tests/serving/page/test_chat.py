"""The chat in a real browser: answers as they come, citations, stopping, failing, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

from promptflow_lite.settings import settings
from tests.serving.page.browser import Browser, said_of
from tests.serving.served import Served


def test_an_answer_grows_while_it_is_written_and_stops_when_told(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        page.fill("#message", "slow")
        page.press("#message", "Enter")
        page.locator(".said").get_by_text("part 2", exact=True).wait_for()
        assert page.locator(".turn").get_attribute("aria-busy") == "true"
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        assert page.locator(".said p", has_text="part").count() < 300
        assert said_of(page, "go on").locator("p").first.inner_text().startswith("You said go on")


def test_the_history_goes_with_the_next_question(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        for count, question in enumerate(["one", "two", "three"]):
            turn = said_of(page, question)
            turn.get_by_text("Other outputs").click()
            assert turn.locator("dd").last.inner_text() == str(count)


def test_a_citation_opens_its_passage_as_text(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        turn = said_of(page, "hello")
        assert turn.locator(".sources").inner_text().split("\n") == ["1", "lamp.md · Signals"]
        turn.get_by_role("button", name="Passage 1").click()
        assert (
            page.locator("dialog blockquote").inner_text()
            == "The lamp blinks twice. <script>alert(1)</script>"
        )
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        assert page.evaluate("document.activeElement.className") == "citation"


def test_a_failure_is_told_and_can_be_tried_again(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        turn = said_of(page, "fail")
        assert "node 'reply' failed" in turn.get_by_role("alert").inner_text()
        turn.get_by_role("button", name="Try again").click()
        page.locator(".turn .acts").wait_for()
        assert page.locator(".turn").count() == 1
        turn = said_of(page, "next")
        turn.get_by_text("Other outputs").click()
        assert turn.locator("dd").last.inner_text() == "0"  # what failed was never said


def test_thumbs_and_a_comment_reach_the_server(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        with page.expect_response("**/score*") as answer:
            turn = said_of(page, "hello")
        request_id = answer.value.headers["x-request-id"]
        turn.get_by_role("button", name="Bad answer").click()
        turn.get_by_text("kept on the server").wait_for()
        turn.locator(".feedback textarea").fill("It blinks thrice.")
        with page.expect_response("**/feedback"):
            turn.get_by_role("button", name="Send the comment").click()
        turn.locator(".feedback").wait_for(state="hidden")
        page.reload()
        pressed = page.get_by_role("button", name="Bad answer").get_attribute("aria-pressed")
        assert pressed == "true"
    lines = Path(settings().home, "feedback", "lamps.jsonl").read_text().splitlines()
    kept = [line for line in map(json.loads, lines) if line["request_id"] == request_id]
    assert [(line["score"], line["comment"]) for line in kept] == [(0, None), (0, "It blinks thrice.")]


def test_the_nodes_are_shown_with_their_time(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        page.get_by_role("button", name="Nodes").click()
        said_of(page, "hello")
        rows = page.locator("#nodes li")
        assert sorted(rows.locator("code").all_inner_texts()) == ["count", "find", "reply"]
        assert all(text.endswith(" s") for text in rows.locator(".hint").all_inner_texts())


def test_history_survives_a_reload_and_can_be_renamed_saved_and_deleted(
    browser: Browser, chat: Served
) -> None:
    with browser.page(chat.url) as page:
        said_of(page, "hello")
        page.reload()
        page.locator(".turn .acts").wait_for()
        assert page.locator(".asked").inner_text() == "hello"
        page.get_by_role("button", name="New conversation").first.click()
        said_of(page, "another")
        assert page.locator("#list .title").all_inner_texts() == ["another", "hello"]
        row = page.locator("#list li", has_text="hello").first
        row.get_by_role("button", name="More").click()
        row.get_by_role("button", name="Rename").click()
        page.get_by_label("Title").fill("<b>Lamps</b>")
        page.get_by_role("button", name="Save", exact=True).click()
        row = page.locator("#list > li", has_text="<b>Lamps</b>")
        row.get_by_role("button", name="More").click()
        with page.expect_download() as saved:
            row.get_by_role("button", name="Save as JSON").click()
        found = json.loads(Path(saved.value.path()).read_text())
        assert found["turns"][0]["inputs"]["question"] == "hello"
        row.get_by_role("button", name="More").click()
        row.get_by_role("button", name="Delete").click()
        page.locator("dialog").get_by_role("button", name="Delete").click()
        page.locator("#list .title").nth(1).wait_for(state="detached")
        assert page.locator("#list .title").all_inner_texts() == ["another"]


def test_inputs_beside_the_question_are_a_form(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        page.get_by_text("Inputs", exact=True).click()
        page.get_by_label("tone").select_option("kind")
        assert "in a kind tone" in said_of(page, "hello").locator(".markdown").inner_text()
        page.reload()
        assert page.locator("#input-tone").evaluate("e => e.selectedOptions[0].text") == "kind"


def test_an_example_begins_a_conversation(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        page.get_by_role("button", name="How often does it blink?").click()
        page.keyboard.press("Enter")
        page.locator(".said").get_by_text("You said How often does it blink?").wait_for()
