"""The page for everyone: keyboard, input methods, languages, colours, widths, and those who hear it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.serving.page.browser import Browser, said_of
from tests.serving.served import Served

PHONE = {"width": 360, "height": 740}
CONTRAST = """() => {
    const box = document.body.appendChild(document.createElement("i"));
    const light = name => {
        box.style.color = `var(--${name})`;
        const parts = getComputedStyle(box).color.match(/[\\d.]+/g).slice(0, 3).map(part => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const pairs = `text ground, text tint, text side, text mark, faint ground, faint side, faint soft,
        main ground, main tint, on-main main, bad ground`;
    return pairs.split(",").map(pair => pair.trim().split(" ")).map(([one, other]) => {
        const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
        return [one, other, (high + 0.05) / (low + 0.05)];
    });
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a, summary")]
    .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
    .map(e => e.outerHTML.slice(0, 120))"""


def test_enter_that_ends_a_composition_does_not_send(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url, locale="ja-JP") as page:
        devtools = page.context.new_cdp_session(page)
        page.focus("#message")
        composed = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}
        devtools.send("Input.imeSetComposition", composed)
        page.keyboard.press("Enter")
        assert page.locator(".turn").count() == 0
        devtools.send("Input.insertText", {"text": "日本"})
        assert page.locator(".turn").count() == 0
        page.fill("#message", "日本")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("x")
        assert page.locator("#message").input_value().split("\n")[-1] == "x"
        page.keyboard.press("Enter")
        page.locator(".turn .acts").wait_for()
        assert page.locator(".asked").inner_text() == "日本\nx"


def test_a_composition_that_safari_tells_by_its_code_does_not_send(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        page.fill("#message", "日本")
        page.evaluate(
            "document.getElementById('message').dispatchEvent(new KeyboardEvent('keydown', "
            "{key: 'Enter', keyCode: 229, bubbles: true}))"
        )
        assert page.locator(".turn").count() == 0


def test_the_page_speaks_japanese_and_remembers_another_choice(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url, locale="ja-JP") as page:
        assert page.locator("html").get_attribute("lang") == "ja"
        assert page.locator("#message").get_attribute("placeholder") == "メッセージ"
        said_of(page, "hello").get_by_role("button", name="出典 1").wait_for()
        page.get_by_label("言語").select_option("English")
        page.get_by_role("button", name="Passage 1").wait_for()
        page.reload()
        assert page.locator("html").get_attribute("lang") == "en"


def test_both_languages_say_everything(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        found = page.evaluate(
            "async () => { const [{english}, {japanese}] = await Promise.all("
            "[import('./page/english.js'), import('./page/japanese.js')]); return [english, japanese]; }"
        )
    english, japanese = found
    assert english.keys() == japanese.keys()
    assert all(set(_places(english[key])) == set(_places(japanese[key])) for key in english)


def _places(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser: Browser, chat: Served, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a ratio of 4.5 for text."""
    with browser.page(chat.url, color_scheme=scheme) as page:
        faint = [(one, other, ratio) for one, other, ratio in page.evaluate(CONTRAST) if ratio < 4.5]
        assert faint == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_label("Colours").select_option("Dark" if scheme == "light" else "Light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground


def test_a_phone_shows_one_thing_at_a_time(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        said_of(page, "markdown")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator("#conversations").is_hidden()
        page.get_by_role("button", name="Conversations and settings").click()
        assert page.evaluate("document.activeElement.closest('aside')?.id") == "conversations"
        page.keyboard.press("Escape")
        assert page.locator("#conversations").is_hidden()
        assert page.evaluate("document.activeElement.id") == "menu"


def test_everything_has_a_name_and_is_reached_by_tab(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        said_of(page, "hello")
        assert page.evaluate(NAMELESS) == []
        page.evaluate("document.activeElement.blur()")
        reached = []
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
        order = [
            name
            for name in reached
            if name in ("menu", "new", "language", "Passage 1", "Good answer", "message")
        ]
        assert order[:6] == ["menu", "new", "language", "Passage 1", "Good answer", "message"]


def test_an_answer_is_said_to_those_who_hear_the_page_once(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        assert page.locator("#live").get_attribute("aria-live") == "polite"
        turn = said_of(page, "markdown")
        blocks = turn.locator(".markdown").evaluate("e => [...e.children].map(c => c.textContent)")
        assert page.locator("#live p").all_text_contents() == blocks


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_copied_calls_run_as_they_stand(browser: Browser, chat: Served) -> None:
    question = 'it\'s "$HOME" `id` \\ 日本\nnext'
    with browser.page(chat.url) as page:
        page.fill("#message", question)
        page.press("#message", "Enter")
        turn = page.locator(".turn")
        turn.get_by_role("button", name="Call it from code").click()
        curl, python, _ = page.locator("dialog pre").all_text_contents()
    answers = [
        subprocess.run(["bash", "-c", f"{curl} -s"], capture_output=True, timeout=60, check=True).stdout,
        subprocess.run([sys.executable, "-c", python], capture_output=True, timeout=60, check=True).stdout,
    ]
    said = [json.loads(answers[0])["answer"], eval(answers[1])["answer"]]
    assert said == [f"You said {question}, in a plain tone [1]."] * 2
