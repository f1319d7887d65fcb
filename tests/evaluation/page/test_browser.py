"""A report in a real browser: what strangers wrote stays text, and a person finds the line they look for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.evaluation import gate
from promptflow_lite.evaluation.report import write_comparison
from promptflow_lite.evaluation.scores import read
from promptflow_lite.evaluation.side_by_side import side_by_side
from promptflow_lite.runs.home import run_store
from tests.evaluation.page.reported import EVIL, MANY, graded, page_of
from tests.serving.page.browser import Browser, launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The pages `one` and `two`, of a run and of a comparison with a gate."""
    folder = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PF_HOME", str(folder / "home"))
        patch.setenv("PF_TRACKING", "off")
        _forget()
        graded(folder)
        (folder / "gate.yaml").write_text(
            "rules: [{metric: grade, better_than_baseline: true}, {metric: completed, at_least: 1}]"
        )
        store, rules = run_store(), gate.read(folder / "gate.yaml")
        found = side_by_side([read(store, name) for name in ("weak", "strong")])
        results = gate.check(rules, "strong", {}, found.of("strong"))
        (folder / "one").mkdir()
        made = {
            "one": page_of("weak", folder=folder / "one"),
            "two": write_comparison(store, found, results, folder / "two.html"),
        }
    _forget()
    yield made


def _forget() -> None:
    from promptflow_lite.settings import settings

    settings.cache_clear()


@contextmanager
def opened(browser: Browser, path: Path, fragment: str = "", **options: Any) -> Iterator[Any]:
    """The page of a file; the test fails if it asks for anything else, or its script complains."""
    with browser.page(**options) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("table.lines tbody tr")
        yield page
        assert {url.partition("#")[0] for url in asked} == {path.as_uri()}


def names(page: Any) -> list[str]:
    shown: list[str] = page.locator("table.lines tbody a.open").all_inner_texts()
    return shown


def search(page: Any, words: str, line: str) -> None:
    """Search until that line is the first of those that are found."""
    page.fill("#search", words)
    page.wait_for_function("line => document.querySelector('a.open')?.textContent === line", arg=line)


def test_what_strangers_wrote_is_text(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"], "#line=3") as page:
        dialog = page.locator("dialog#line")
        assert EVIL in dialog.inner_text()
        for node in dialog.locator("details > summary").all():
            node.click()
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 2


def test_markup_and_scripts_that_come_later_are_refused(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"]) as page:
        assert page.evaluate(
            "() => { try { document.body.innerHTML = '<b>'; return 'taken' } catch (e) { return e.name } }"
        ) == ("TypeError")


def test_words_find_lines_whatever_their_width_and_case(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"]) as page:
        search(page, "いつ １２９", "129")
        assert names(page) == ["129"]
        search(page, "CANNOT classify", "7")
        assert names(page) == ["7"]
        page.fill("#search", "nobody said that")
        page.get_by_text("No line is like that.").wait_for()


def test_lines_are_drawn_in_slices_and_all_can_be_reached(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"]) as page:
        assert len(names(page)) == 100
        page.locator("footer").scroll_into_view_if_needed()
        page.locator("button.more").wait_for(state="hidden")
        assert names(page) == [str(i) for i in range(MANY)]


def test_a_head_sorts_up_and_down(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"]) as page:
        page.click("button[data-by='score:grade']")
        assert names(page)[:5] == ["6", "7", "8", "9", "16"]
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith("grade")
        page.keyboard.press("Enter")
        assert names(page)[:3] == ["0", "1", "2"]
        assert page.locator("th[aria-sort=descending]").count() == 1


def test_lines_that_changed_are_one_click_from_the_verdict(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"]) as page:
        page.get_by_role("button", name="38 better").click()
        assert names(page)[:4] == ["6", "8", "16", "17"]
        page.get_by_role("button", name="1 newly failing").click()
        assert names(page) == ["7"]
        page.select_option("#filter", label="Failed (1)")
        assert names(page) == ["7"]


def test_a_cell_of_the_confusion_matrix_leads_to_its_lines(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"]) as page:
        page.get_by_role("button", name="52 lines: true 質問, answered (invalid)").click()
        assert names(page)[:5] == ["6", "7", "8", "9", "16"]
        page.get_by_role("button", name="All lines").click()
        assert names(page)[:2] == ["0", "1"]


def test_a_line_is_opened_read_and_left_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"]) as page:
        page.keyboard.press("/")
        page.keyboard.type("いつ 12")
        page.wait_for_function("() => document.querySelector('a.open').textContent === '12'")
        page.locator("a.open").first.focus()
        page.keyboard.press("Enter")
        page.locator("dialog[open] #line-title", has_text="Line 12").wait_for()
        page.keyboard.press("ArrowRight")
        page.locator("dialog[open] #line-title", has_text="Line 112").wait_for()
        node = page.locator("dialog details.node summary").first
        node.focus()
        page.keyboard.press("Enter")
        page.locator("dialog details.node[open] h4", has_text="Output").first.wait_for()
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
        assert page.evaluate("document.activeElement.textContent") == "112"


def test_answers_differ_by_word_and_japanese_by_character(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["two"], "#line=8") as page:
        assert "Monday" in page.locator("dialog del").all_inner_texts()
        assert "Tuesday" in page.locator("dialog ins").all_inner_texts()
        page.goto(pages["two"].as_uri() + "#line=11")
        page.locator("#line-title", has_text="Line 11").wait_for()
        assert "明日" in page.locator("dialog del").all_inner_texts()
        assert "あさって" in page.locator("dialog ins").all_inner_texts()
        assert page.locator("dialog pre:has(ins)").first.get_attribute("lang") == "ja"


def test_a_timeline_says_which_node_took_how_long(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["one"], "#line=2") as page:
        bars = page.locator("dialog .timeline").first.locator(".bar")
        search, classify = (bars.nth(i).bounding_box() for i in range(2))
        assert classify["x"] >= search["x"] + search["width"] - 3 and classify["width"] > 3


def test_a_phone_shows_all_without_scrolling_sideways(browser: Browser, pages: dict[str, Path]) -> None:
    phone = {"width": 390, "height": 844}
    for fragment in ("", "#line=8"):
        with opened(browser, pages["two"], fragment, viewport=phone, color_scheme="dark") as page:
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 390


def test_dark_and_light_are_the_readers_choice(browser: Browser, pages: dict[str, Path]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, pages["one"], color_scheme="dark") as page:
        dark = page.evaluate(paper)
        page.get_by_role("button", name="Light or dark").click()
        assert (dark, page.evaluate(paper)) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")


def test_every_picture_and_control_has_a_name(browser: Browser, pages: dict[str, Path]) -> None:
    nameless = """() => [...document.querySelectorAll('svg, button, input, select, a')]
      .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
      .map((e) => e.outerHTML)"""
    with opened(browser, pages["two"]) as page:
        assert page.evaluate(nameless) == []
        assert page.evaluate("document.querySelectorAll('svg[role=img][aria-label]').length") > 5


def test_the_page_speaks_japanese_to_a_japanese_browser_and_leaves_what_was_said(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["two"], locale="ja-JP") as page:
        assert page.locator("#comparison h2").inner_text() == "比較"
        assert page.locator("html").get_attribute("lang") == "ja"
        page.get_by_role("button", name="改善 38 行").click()
        assert names(page)[:4] == ["6", "8", "16", "17"]
        page.locator("a.open").first.click()
        page.get_by_role("button", name="閉じる").wait_for()
        assert page.locator("dialog header button").all_inner_texts() == ["前へ", "次へ", "閉じる"]
        assert "It arrives on" in page.locator("dialog").inner_text()
    with opened(browser, pages["two"], locale="de-DE") as page:
        assert page.locator("#comparison h2").inner_text() == "Comparison"
