"""What a person gives to a flow on the page: forms of all types, images, and a key."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.flows_of import write
from tests.serving.page.browser import Browser, said_of
from tests.serving.served import Served
from tests.serving.test_kinds import IMAGE, KEEP, MEASURE, PIXEL

KEY = "a-key-of-the-tests"
PICTURE = {"name": "dot.png", "mimeType": "image/png", "buffer": base64.b64decode(PIXEL)}
TYPED = """\
inputs:
  text: {type: string, description: what to say}
  count: {type: int, default: 2}
  share: {type: double}
  loud: {type: bool, default: true}
  tags: {type: list, default: [a]}
  more: {type: object, default: {}}
  mood: {type: string, default: calm, enum: [calm, brisk]}
outputs:
  all: {type: object, reference: "${gather.output}"}
nodes:
- name: gather
  type: python
  source: {type: code, path: gather.py}
  inputs:
    text: ${inputs.text}
    count: ${inputs.count}
    share: ${inputs.share}
    loud: ${inputs.loud}
    tags: ${inputs.tags}
    more: ${inputs.more}
    mood: ${inputs.mood}
"""
GATHER = """\
from promptflow_lite import tool


@tool
def gather(text: str, count: int, share: float, loud: bool, tags: list, more: dict, mood: str) -> dict:
    return dict(text=text, count=count, share=share, loud=loud, tags=tags, more=more, mood=mood)
"""
LOOK = """\
type: chat
inputs:
  chat_history: {type: list, is_chat_history: true, default: []}
  question: {type: list, is_chat_input: true}
outputs:
  answer: {type: string, reference: "${look.output}", is_chat_output: true}
  picture: {type: image, reference: "${first.output}"}
nodes:
- {name: look, type: python, source: {type: code, path: look.py}, inputs: {question: "${inputs.question}"}}
- {name: first, type: python, source: {type: code, path: first.py}, inputs: {question: "${inputs.question}"}}
"""
LOOK_TOOL = """\
from promptflow_lite import tool


@tool
def look(question: list) -> str:
    return " ".join(part if isinstance(part, str) else f"{len(part)} bytes" for part in question)
"""
FIRST_TOOL = """\
from promptflow.contracts.multimedia import Image

from promptflow_lite import tool


@tool
def first(question: list) -> Image:
    return next((part for part in question if isinstance(part, Image)), None)
"""


def test_a_flow_that_is_no_chat_has_a_form_of_its_types(browser: Browser, tmp_path: Path) -> None:
    with (
        Served(write(tmp_path / "typed", dag=TYPED, gather__py=GATHER)) as served,
        browser.page(served.url) as page,
    ):
        run = page.get_by_role("button", name="Run")
        run.click()
        assert page.locator(".error:visible").all_inner_texts() == ["needed", "needed"]
        assert page.evaluate("document.activeElement.id") == "input-text"
        page.get_by_label("text").fill("hello\nthere")
        page.get_by_label("share").fill("0.5")
        page.get_by_label("tags").fill("[1, ")
        run.click()
        assert page.locator(".error:visible").all_inner_texts() == ["expected a list, such as [1, 2]"]
        page.get_by_label("tags").fill('["x"]')
        page.get_by_label("loud").uncheck()
        page.get_by_label("mood").select_option("brisk")
        page.get_by_label("text").press("Control+Enter")
        page.locator(".turn .acts").wait_for()
        shown = page.locator(".said pre").evaluate("e => JSON.parse(e.textContent)")
        assert shown == {
            "text": "hello\nthere",
            "count": 2,
            "share": 0.5,
            "loud": False,
            "tags": ["x"],
            "more": {},
            "mood": "brisk",
        }
        page.reload()
        assert page.get_by_label("text").input_value() == "hello\nthere"


def test_images_go_into_a_form_and_come_out(browser: Browser, tmp_path: Path) -> None:
    flow = write(tmp_path / "image", dag=IMAGE, keep__py=KEEP, measure__py=MEASURE)
    with Served(flow) as served, browser.page(served.url) as page:
        page.get_by_label("picture").set_input_files([PICTURE])
        page.locator(".runner img").wait_for()
        page.get_by_role("button", name="Run").click()
        page.locator(".turn .acts").wait_for()
        assert page.locator(".said img").evaluate("e => [e.naturalWidth, e.src]") == [
            1,
            f"data:image/png;base64,{PIXEL}",
        ]
        assert page.locator(".said dd").last.inner_text() == str(len(PICTURE["buffer"]))
        page.get_by_label("picture").set_input_files([{**PICTURE, "name": "a.txt", "mimeType": "text/plain"}])
        page.get_by_text("a.txt is no image.").wait_for()


def test_images_are_pasted_dropped_and_chosen_for_a_question(browser: Browser, tmp_path: Path) -> None:
    flow = write(tmp_path / "look", dag=LOOK, look__py=LOOK_TOOL, first__py=FIRST_TOOL)
    bring = f"""kind => {{
        const bytes = Uint8Array.from(atob("{PIXEL}"), sign => sign.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "dot.png", {{ type: "image/png" }}));
        const has = {{ clipboardData: data, dataTransfer: data, bubbles: true, cancelable: true }};
        const event = kind === "paste" ? new ClipboardEvent(kind, has) : new DragEvent(kind, has);
        document.getElementById("message").dispatchEvent(event);
    }}"""
    with Served(flow) as served, browser.page(served.url) as page:
        page.evaluate(bring, "paste")
        page.evaluate(bring, "drop")
        page.locator(".composer input[type=file]").set_input_files([PICTURE])
        page.locator(".thumb").nth(2).wait_for()
        page.locator(".thumb button").first.click()
        turn = said_of(page, "Look")
        size = len(PICTURE["buffer"])
        assert turn.locator(".markdown").inner_text() == f"Look {size} bytes {size} bytes"
        assert turn.locator(".asked img").count() == 2
        turn.get_by_text("Other outputs").click()
        assert turn.locator(".said img").evaluate("e => e.naturalWidth") == 1
        assert said_of(page, "And now?").locator(".markdown").inner_text() == "And now?"
        page.reload()
        page.locator(".asked img").nth(1).wait_for()


def test_a_key_is_asked_for_and_kept_in_the_tab_only(browser: Browser, chat_with_key: Served) -> None:
    with browser.page(chat_with_key.url) as page:
        assert page.locator("#title").inner_text() == ""
        page.locator("#asked").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("The server does not know this key.").wait_for()
        page.locator("#asked").fill(KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("#message")
        assert said_of(page, "hello").locator("p").first.inner_text().startswith("You said hello")
        page.reload()
        page.wait_for_selector("#message")
        assert KEY not in page.evaluate("JSON.stringify(localStorage)")
        page.get_by_role("button", name="Call it from code").first.click()
        assert "$PF_SERVE_KEY" in page.locator("dialog pre").first.inner_text()
        assert KEY not in page.content()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Forget the key").click()
        page.locator("#asked").wait_for()
