"""A real browser at a served flow: Chromium through Playwright; tests skip where either is absent."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows_of import write

__all__ = ["Browser", "chat_flow", "launched", "said_of"]

_CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)

CHAT = """\
display_name: Lamps
description: Answers questions about lamps.
type: chat
inputs:
  chat_history: {type: list, is_chat_history: true, default: []}
  question: {type: string, is_chat_input: true, default: How often does it blink?}
  tone: {type: string, default: plain, enum: [plain, kind]}
outputs:
  answer: {type: string, reference: "${reply.output}", is_chat_output: true}
  documents: {type: list, reference: "${find.output}"}
  turns: {type: int, reference: "${count.output}"}
nodes:
- {name: find, type: python, source: {type: code, path: find.py}, inputs: {question: "${inputs.question}"}}
- name: count
  type: python
  source: {type: code, path: count.py}
  inputs: {history: "${inputs.chat_history}"}
- name: reply
  type: python
  source: {type: code, path: reply.py}
  inputs: {question: "${inputs.question}", tone: "${inputs.tone}", documents: "${find.output}"}
"""
FIND = """\
from promptflow_lite import tool


@tool
def find(question: str) -> list:
    text = "The lamp blinks twice. <script>alert(1)</script>"
    return [{"text": text, "metadata": {"source": "lamp.md", "heading": "Signals"}}]
"""
COUNT = """\
from promptflow_lite import tool


@tool
def count(history: list) -> int:
    return len(history)
"""
REPLY = '''\
import time
from pathlib import Path

from promptflow_lite import tool


@tool
def reply(question: str, tone: str, documents: list):
    """What the file `answers/QUESTION.md` says, in parts; `slow` goes on until someone stops it."""
    if question == "fail":
        raise ValueError("on purpose")
    if question == "slow":
        for number in range(600):
            yield f"part {number}\\n\\n"
            time.sleep(0.05)
        return
    file = Path(__file__).parent / "answers" / f"{question}.md"
    text = file.read_text() if file.exists() else f"You said {question}, in a {tone} tone [1]."
    for at in range(0, len(text), 7):
        yield text[at : at + 7]
'''


def chat_flow(folder: Path, **answers: str) -> Path:
    """A chat flow in pure Python, with a passage to cite; `answers` are what it says to a question."""
    flow = write(folder, dag=CHAT, find__py=FIND, count__py=COUNT, reply__py=REPLY)
    (flow / "answers").mkdir()
    for question, text in answers.items():
        (flow / "answers" / f"{question}.md").write_text(text, encoding="utf-8")
    return flow


class Browser:
    """Chromium; each page is in a profile of its own, and fails its test if a script of ours does."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    @contextlib.contextmanager
    def page(self, url: str | None = None, **options: Any) -> Iterator[Any]:
        """A page at the address; `options` are those of Playwright's context, such as `locale`."""
        options.setdefault("locale", "en-GB")
        context = self._chromium.new_context(
            viewport=options.pop("viewport", None) or {"width": 1280, "height": 800}, **options
        )
        context.set_default_timeout(8000)
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: _note(message, wrong))
        page.on("dialog", lambda dialog: _refuse(dialog, wrong))
        try:
            if url is not None:
                page.goto(url)
                page.wait_for_selector(".composer, dialog")
            yield page
        finally:
            context.close()
        assert wrong == []


def _note(message: Any, wrong: list[str]) -> None:
    """The browser itself reports answers such as 401, and what the page's policy kept a test from doing."""
    expected = "Failed to load resource" in message.text or "Trusted" in message.text
    if message.type in ("error", "warning") and not expected:
        wrong.append(message.text)


def _refuse(dialog: Any, wrong: list[str]) -> None:
    wrong.append(f"a dialog of the browser: {dialog.message}")
    dialog.dismiss()


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if _CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=30_000
        )
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


def said_of(page: Any, question: str) -> Any:
    """Ask, wait for the whole answer, and give its element."""
    count = page.locator(".turn").count()
    page.fill("#message", question)
    page.press("#message", "Enter")
    turn = page.locator(".turn").nth(count)
    turn.locator(".acts").wait_for()
    return turn
