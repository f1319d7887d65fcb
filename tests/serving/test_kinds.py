"""Every kind of flow is served: of nodes, of a class, of a prompt; images, feedback, metrics."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from promptflow_lite.settings import settings
from tests.flows_of import echo, write
from tests.model_server import ModelServer
from tests.serving.served import Served

PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()
BOT = """\
class Bot:
    def __init__(self, greeting: str = "hi"):
        self.greeting = greeting

    def __call__(self, question: str, times: int = 2) -> dict:
        return {"answer": f"{self.greeting} {question}", "times": times}
"""
TALKER = """\
class Bot:
    def __call__(self, text: str, chat_history: list) -> str:
        said = ", ".join(f"{one['role']} {one['content']}" for one in chat_history)
        return f"{said}: {text}"
"""
IMAGE = """\
inputs:
  picture: {type: image}
outputs:
  same: {type: image, reference: "${keep.output}"}
  size: {type: int, reference: "${measure.output}"}
nodes:
- name: keep
  type: python
  source: {type: code, path: keep.py}
  inputs: {picture: "${inputs.picture}"}
- name: measure
  type: python
  source: {type: code, path: measure.py}
  inputs: {picture: "${inputs.picture}"}
"""
KEEP = """\
from promptflow_lite import tool
from promptflow.contracts.multimedia import Image


@tool
def keep(picture: Image) -> Image:
    return picture
"""
MEASURE = (
    KEEP.replace("keep", "measure")
    .replace("-> Image", "-> int")
    .replace("return picture", "return len(picture)")
)


def _prompty(url: str) -> str:
    return f"""\
---
name: hello
model:
  api: chat
  configuration: {{type: openai, model: scripted, base_url: {url}, api_key: k}}
inputs:
  question: {{type: string, is_chat_input: true}}
  chat_history: {{type: list, is_chat_history: true, default: []}}
sample: {{question: what}}
---
system:
Be brief.
{{% for item in chat_history %}}
{{{{item.role}}}}:
{{{{item.content}}}}
{{% endfor %}}
user:
{{{{question}}}}
"""


def test_a_class_is_served_with_all_that_it_gives(tmp_path: Path) -> None:
    flow = write(tmp_path / "bot", flow__flex__yaml="", bot__py=BOT)
    (flow / "flow.flex.yaml").write_text("entry: bot:Bot\n")
    with Served(flow, init={"greeting": "yo"}) as served:
        assert served.score({"question": "you"}) == (200, {"answer": "yo you", "times": 2})
        assert served.score({"question": "you", "times": "x"})[0] == 400


def test_a_prompty_chats_with_messages_as_its_history(tmp_path: Path) -> None:
    with ModelServer() as model:
        file = tmp_path / "hello.prompty"
        file.write_text(_prompty(model.base_url))
        with Served(file) as served:
            assert served.score({"question": "hi"})[1] == {"output": "echo: hi"}
            messages = [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c"},
            ]
            _, text = served.call("POST", "/v1/chat/completions", {"model": "hello", "messages": messages})
            assert json.loads(text)["choices"][0]["message"]["content"] == "echo: c"
            sent = [(m["role"], m["content"]) for m in model.requests[-1].body["messages"]]
            assert sent == [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c")]
            document = json.loads(served.call("GET", "/swagger.json")[1])
            assert document["components"]["schemas"]["Inputs"]["example"] == {"question": "what"}


def test_a_class_with_a_history_and_one_other_input_chats_without_marks(tmp_path: Path) -> None:
    flow = write(tmp_path / "bot", flow__flex__yaml="", bot__py=TALKER)
    (flow / "flow.flex.yaml").write_text("entry: bot:Bot\n")
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    with Served(flow) as served:
        _, text = served.call("POST", "/v1/chat/completions", {"messages": messages})
        assert json.loads(text)["choices"][0]["message"]["content"] == "user a, assistant b: c"
        chat = json.loads(served.call("GET", "/swagger.json")[1])["x-chat"]
        assert chat == {"input": "text", "output": "output", "history": "chat_history", "turns": "messages"}


def test_images_come_and_go_with_their_bytes(tmp_path: Path) -> None:
    flow = write(tmp_path / "picture", dag=IMAGE, keep__py=KEEP, measure__py=MEASURE)
    (flow / "secret.png").write_bytes(base64.b64decode(PIXEL))
    with Served(flow) as served:
        sent = {"data:image/png;base64": PIXEL}
        size = len(base64.b64decode(PIXEL))
        assert served.score({"picture": sent}) == (200, {"same": sent, "size": size})
        assert served.score({"picture": f"data:image/png;base64,{PIXEL}"})[1]["size"] == size
        url = {"data:image/png;url": "https://example.com/a.png"}
        assert served.score({"picture": url})[1]["same"] == url
        wrongs: list[Any] = [
            "secret.png",
            "./secret.png",
            {"data:image/png;path": "secret.png"},
            3,
            [],
            {},
            "",
        ]
        for wrong in wrongs:
            assert served.score({"picture": wrong})[0] == 400, wrong


def test_feedback_is_kept_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "feedback.jsonl"
    with Served(echo(tmp_path / "echo"), feedback=str(file)) as served:
        for body in (
            {"request_id": "r1", "score": 1, "comment": "good\nvery"},
            {"anything": ["that", "Prompt flow's", "callers send"]},
        ):
            response, text = served.call("POST", "/feedback?flatten=true", body)
            assert (response.status, json.loads(text)) == (200, {"status": "Feedback received."})
        wrongs: list[Any] = [{"score": "five"}, {"comment": 3}, {"request_id": "x" * 200}, []]
        for wrong in wrongs:
            assert served.call("POST", "/feedback", wrong)[0].status == 400
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["request_id"], line["score"], line["comment"]) for line in lines] == [
        ("r1", 1, "good\nvery"),
        (None, None, None),
    ]
    assert lines[1]["body"] == {"anything": ["that", "Prompt flow's", "callers send"]}


def test_metrics_count_requests_tokens_and_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.serving.served import chat_flow

    with ModelServer() as model:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-model")
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        settings.cache_clear()
        with Served(chat_flow(tmp_path / "support")) as served:
            served.score({"question": "a b"})
            served.score({})
            served.call("GET", "/no/such/path")
            text = served.call("GET", "/metrics")[1].decode()
    for line in (
        'promptflow_requests_total{deployment="support",path="/score",status="200"} 1.0',
        'promptflow_requests_total{deployment="support",path="/score",status="400"} 1.0',
        'promptflow_requests_total{deployment="",path="other",status="404"} 1.0',
        'promptflow_tokens_total{deployment="support",kind="prompt"} 5.0',
        'promptflow_tokens_total{deployment="support",kind="completion"} 3.0',
        'promptflow_failures_total{code="missing-input",deployment="support"} 1.0',
        'promptflow_request_seconds_count{deployment="support",path="/score"} 2.0',
    ):
        assert line in text


def test_images_of_a_chat_become_parts_of_its_input(tmp_path: Path) -> None:
    dag = """\
    inputs:
      question: {type: list, is_chat_input: true}
    outputs:
      answer: {type: string, reference: "${tell.output}", is_chat_output: true}
    nodes:
    - name: tell
      type: python
      source: {type: code, path: tell.py}
      inputs: {question: "${inputs.question}"}
    """
    tell = """\
    from promptflow_lite import tool


    @tool
    def tell(question: list) -> str:
        return " ".join(type(part).__name__ for part in question)
    """
    parts: list[Any] = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    with Served(write(tmp_path / "see", dag=dag, tell__py=tell)) as served:
        body = {"model": "see", "messages": [{"role": "user", "content": parts}]}
        _, text = served.call("POST", "/v1/chat/completions", body)
        assert json.loads(text)["choices"][0]["message"]["content"] == "str Image"


def test_images_for_a_flow_of_text_are_refused(tmp_path: Path) -> None:
    dag = """\
    inputs:
      question: {type: string, is_chat_input: true}
    outputs:
      answer: {type: string, reference: "${inputs.question}", is_chat_output: true}
    nodes: []
    """
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
    with Served(write(tmp_path / "read", dag=dag)) as served:
        body = {"model": "read", "messages": [{"role": "user", "content": parts}]}
        response, text = served.call("POST", "/v1/chat/completions", body)
        assert response.status == 400
        assert "takes no images" in json.loads(text)["error"]["message"]
