"""A flow behind real HTTP on loopback, in a thread of the test."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from promptflow_lite.serving.one import make
from promptflow_lite.serving.plan import Plan
from promptflow_lite.serving.server import claim
from tests.flows_of import write

__all__ = ["CHAT", "Served", "chat_flow", "raw"]

CHAT = """\
type: chat
inputs:
  chat_history: {type: list, is_chat_history: true, default: []}
  question: {type: string, is_chat_input: true}
  tone: {type: string, default: plain}
outputs:
  answer: {type: string, reference: "${chat.output}", is_chat_output: true}
  turns: {type: int, reference: "${count.output}"}
  secret_score: {type: int, reference: "${count.output}", evaluation_only: true}
nodes:
- name: chat
  type: llm
  source: {type: code, path: chat.jinja2}
  connection: open_ai_connection
  api: chat
  inputs: {model: scripted, question: "${inputs.question}", chat_history: "${inputs.chat_history}"}
- name: count
  type: python
  source: {type: code, path: count.py}
  inputs: {history: "${inputs.chat_history}"}
"""
_PROMPT = """\
system:
You are scripted.
{% for item in chat_history %}
user:
{{ item.inputs.question }}
assistant:
{{ item.outputs.answer }}
{% endfor %}
user:
{{ question }}
"""
_COUNT = """\
from promptflow_lite import tool


@tool
def count(history: list) -> int:
    return len(history)
"""


def chat_flow(folder: Path) -> Path:
    """A chat flow over one llm node; the connection's address comes from `OPENAI_BASE_URL`."""
    return write(folder, dag=CHAT, chat__jinja2=_PROMPT, count__py=_COUNT)


class Served:
    """The server; `fields` are those of a `Plan`."""

    def __init__(self, source: Path, **fields: Any) -> None:
        fields.setdefault("hosts", ("127.0.0.1", "localhost"))
        self.plan = Plan(source=str(source), **fields)
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Served:
        bound = claim("127.0.0.1", 0)
        self.port = bound.getsockname()[1]
        ready = threading.Event()
        self.server = make(self.plan, self.plan.deployment(), on_ready=ready.set)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve(sockets=[bound])), daemon=True
        )
        self._thread.start()
        assert ready.wait(60)
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.end()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        """The answer to one request; a body that is no bytes is sent as JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {"content-type": "application/json"} if body is not None else {}
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def score(self, inputs: Any, **headers: str) -> tuple[int, Any]:
        """Status and JSON of `POST /score`."""
        response, text = self.call(
            "POST", "/score", inputs, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        return response.status, json.loads(text)


def raw(port: int, data: bytes, *, half_close: bool = False, timeout: float = 60) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)
