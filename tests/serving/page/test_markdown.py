"""A model's Markdown on the page: what it means is shown, what it smuggles is not."""

from __future__ import annotations

import time

from tests.serving.page.browser import Browser, said_of
from tests.serving.served import Served


def test_what_a_model_smuggles_into_markdown_stays_text(browser: Browser, chat: Served) -> None:
    asked: list[str] = []
    with browser.page(chat.url) as page:
        page.on("request", lambda request: asked.append(request.url))
        answer = said_of(page, "hostile").locator(".markdown")
        assert page.title() == "Lamps"
        assert answer.locator("img, script, svg, iframe").count() == 0
        links = answer.locator("a").evaluate_all("all => all.map(a => [a.textContent, a.href, a.rel])")
        assert [(text, href) for text, href, _ in links] == [
            ("pixel", "https://stranger.example/pixel.png"),
            ("good", "https://example.com/a_(b)"),
            ("1", "https://example.com/"),
            ("https://example.org/b", "https://example.org/b"),
        ]
        assert all("noopener" in rel for _, _, rel in links)
        assert "<img src=x onerror=" in answer.inner_text()
    assert all(url.startswith(chat.url) for url in asked)


def test_the_browser_refuses_to_make_markup_of_text(browser: Browser, chat: Served) -> None:
    """Trusted types: even a mistake of ours in the page could not do it."""
    made = "document.createElement('div').innerHTML = '<b>'", "document.createElement('script').text = '1'"
    with browser.page(chat.url) as page:
        for code in made:
            assert (
                page.evaluate(f"() => {{ try {{ {code}; }} catch (error) {{ return error.name; }} }}")
                == "TypeError"
            )
        page.wait_for_timeout(50)
    policy = chat.call("GET", "/")[0].getheader("content-security-policy") or ""
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; ")


def test_markdown_is_shown_as_it_is_meant(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url) as page:
        answer = said_of(page, "markdown").locator(".markdown")
        assert answer.evaluate("e => [...e.children].map(c => c.tagName)") == [
            *("H3", "P", "UL", "DIV", "BLOCKQUOTE", "DIV", "HR", "OL")
        ]
        paragraph = answer.locator("p").first
        assert paragraph.locator("strong, em, del, code").all_inner_texts() == [
            "bold",
            "slanted",
            "gone",
            "code <b>",
        ]
        assert "snake_case_words" in paragraph.inner_text()
        assert answer.locator("li li").all_inner_texts() == ["deep"]
        assert answer.locator("li input").is_checked()
        assert answer.locator("td").all_inner_texts() == ["a|b", "2"]
        assert answer.locator("pre").inner_text() == 'print("<b>")'
        assert answer.locator("ol").last.get_attribute("start") == "2"


def test_code_is_copied_as_it_was_written(browser: Browser, chat: Served) -> None:
    with browser.page(chat.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        said_of(page, "markdown").locator(".code").get_by_role("button", name="Copy").click()
        assert page.evaluate("navigator.clipboard.readText()") == 'print("<b>")'


def test_no_text_keeps_the_page_busy(browser: Browser, chat: Served) -> None:
    """Texts that make careless patterns take quadratic time or worse; each takes milliseconds here."""
    texts = ["*a " * 30_000, "[" * 60_000, "[a](" * 20_000, "`" * 50_000 + "a", "# " + " " * 60_000 + "x"]
    texts += [
        "> " * 20_000,
        "- " * 20_000,
        "|" + "-" * 50_000,
        "| -" + " " * 50_000 + "x",
        "https://" + "." * 60_000,
    ]
    texts += ["_a" * 40_000, "``` " + " " * 50_000 + "`", "\\" * 50_000, "~~~" * 20_000, "[1" + ",1" * 30_000]
    with browser.page(chat.url) as page:
        began = time.monotonic()
        page.evaluate(
            "async texts => { const { Markdown } = await import('./page/markdown.js');"
            "for (const text of texts) new Markdown(document.createElement('div')).show('a|b\\n' + text); }",
            texts,
        )
        assert time.monotonic() - began < 20
