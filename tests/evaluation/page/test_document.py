"""The file of a report: what is in it, how strangers' text travels, and what it may load."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from promptflow_lite.evaluation.page import document


class _Tags(HTMLParser):
    """The tags of a page, and the text of each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self._is_inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_inside = tag in ("script", "style")
        if self._is_inside:
            self.inside.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = False

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.inside[-1] += data


@given(st.text())
@example("</script><script>alert(1)</script>")
@example("<!--<script>")
@example("{script}{style}<!-- data -->")
@example("\ud800\u2028")
def test_whatever_data_say_they_stay_data(text: str) -> None:
    plain = _Tags(document({"title": "t", "texts": []}))
    shown = _Tags(document({"title": text, "texts": [text, {text: text}]}))
    assert [tag for tag, _ in shown.tags] == [tag for tag, _ in plain.tags]
    data = json.loads(shown.inside[1])
    assert data["texts"] == [text, {text: text}]


def test_the_policy_lets_in_our_own_style_and_script_and_nothing_else() -> None:
    page = _Tags(document({"title": "t", "texts": []}))
    policies = [facts["content"] for tag, facts in page.tags if facts.get("http-equiv")]
    assert policies and policies[0]
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    style, _, script = page.inside
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == f"'{_hash(style)}'"
    assert rules["script-src"] == f"'{_hash(script)}'"
    assert not re.search(r"unsafe|\*|http", policies[0])


def test_the_script_makes_no_markup_and_asks_no_network() -> None:
    script = _Tags(document({"title": "t", "texts": []})).inside[2]
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|fetch\(|XMLHttp|import\("
    )
    assert not re.search(forbidden, script)


def test_secrets_are_taken_out_of_all_of_it() -> None:
    page = document(
        {"title": "the key hunter2<2", "texts": ["hunter2<2"]},
        redact=lambda text: text.replace(b"hunter2<2", b"***"),
    )
    assert "hunter2" not in page and "<title>the key ***</title>" in page


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
