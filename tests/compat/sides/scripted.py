"""A scripted model and the pages of the web, on loopback, for both sides; the standard library only.

Its answers depend on nothing but the request, so that both sides get the same ones in any order.
"""

from __future__ import annotations

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = (
    "<html><head><title>A page</title></head><body><h1>A page</h1><p>This app keeps notes. It is small. "
    "It works offline.</p><ul><li>notes</li><li>lists</li></ul></body></html>"
)
_ANSWERS = (
    (r"\"?category\"?.{0,400}\"?evidence\"?", '{"category": "App", "evidence": "Both"}'),
    (r"\"?code\"?.{0,300}(python|json)|(python|json).{0,300}\"?code\"?", '{"code": "print(2 + 3)"}'),
    (r"\b(math|answer is the final|step by step)", 'Thinking of it. {"answer": "5"}'),
    (r"(1|one) (to|and) (5|five)|star|rating|score", "4"),
)
_VALUES = {"string": "Boston", "integer": 3, "number": 1.5, "boolean": True, "array": [], "object": {}}


class Scripted:
    """The server of one case.

    Args:
        answer: the text of every answer; `None` answers by the script.
        status: what every request of a model gets in place of an answer, such as 401.
    """

    def __init__(self, answer: str | None = None, status: int = 200) -> None:
        self.requests: list[list[Any]] = []
        self.answer = answer
        self.status = status
        made = type("_Bound", (_Handler,), {"scripted": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), made)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripted: Scripted

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A page, whatever is asked for."""
        self._send(200, "text/html; charset=utf-8", PAGE.encode())

    def do_POST(self) -> None:
        """What the model says."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        path = self.path.partition("?")[0]
        self.scripted.requests.append([path, body])
        if self.scripted.status != 200:
            error = {"message": "scripted refusal", "type": "invalid_request_error", "code": "scripted"}
            self._send(self.scripted.status, "application/json", json.dumps({"error": error}).encode())
        elif body.get("stream"):
            self._send(200, "text/event-stream", _stream(body, self.scripted.answer))
        else:
            self._send(
                200, "application/json", json.dumps(_answer(path, body, self.scripted.answer)).encode()
            )

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _text_of(body: dict[str, Any]) -> str:
    messages = body.get("messages") or []
    return (
        json.dumps([m.get("content") for m in messages], ensure_ascii=False)
        if messages
        else str(body.get("prompt"))
    )


def _said(body: dict[str, Any], fixed: str | None) -> str:
    if fixed is not None:
        return fixed
    text = _text_of(body)
    if (body.get("response_format") or {}).get("type") == "json_object":
        return '{"name": "John", "answer": "5", "score": "4", "explanation": "so", "apology": 1}'
    found = next((answer for pattern, answer in _ANSWERS if re.search(pattern, text, re.I | re.S)), None)
    messages = body.get("messages") or [{"content": body.get("prompt")}]
    last = messages[-1].get("content")
    return found or f"echo: {last if isinstance(last, str) else json.dumps(last, sort_keys=True)}"


def _arguments(schema: dict[str, Any]) -> str:
    properties = (schema or {}).get("properties") or {}
    values = {
        name: (about.get("enum") or [_VALUES.get(about.get("type"), "x")])[0]
        for name, about in properties.items()
    }
    return json.dumps(values)


def _message(body: dict[str, Any], fixed: str | None) -> dict[str, Any]:
    if body.get("tools") and not any(m.get("role") == "tool" for m in body["messages"]):
        function = body["tools"][0]["function"]
        call = {"name": function["name"], "arguments": _arguments(function.get("parameters"))}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        }
    if body.get("functions") and not any(m.get("role") == "function" for m in body["messages"]):
        function = body["functions"][0]
        call = {"name": function["name"], "arguments": _arguments(function.get("parameters"))}
        return {"role": "assistant", "content": None, "function_call": call}
    return {"role": "assistant", "content": _said(body, fixed)}


_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def _answer(path: str, body: dict[str, Any], fixed: str | None) -> dict[str, Any]:
    if path.endswith("/embeddings"):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(str(t))), 0.5]}
            for i, t in enumerate(texts)
        ]
        return {"object": "list", "model": "m", "usage": _USAGE, "data": data}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if path.endswith("/chat/completions"):
        choice["message"] = _message(body, fixed)
        if choice["message"].get("tool_calls"):
            choice["finish_reason"] = "tool_calls"
        kind = "chat.completion"
    else:
        choice["text"] = _said(body, fixed)
        kind = "text_completion"
    return {"id": "x", "object": kind, "created": 1, "model": "m", "choices": [choice], "usage": _USAGE}


def _stream(body: dict[str, Any], fixed: str | None) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    words = re.findall(r"\S+\s*", _said(body, fixed))
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": w} for w in words)]
    events: list[dict[str, Any]] = [
        {**chunk, "choices": [{"index": 0, "delta": d, "text": d["content"], "finish_reason": None}]}
        for d in deltas
    ]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}]})
    return b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events) + b"data: [DONE]\n\n"


def surround(url: str) -> None:
    """Set the environment that examples ask for; what `requests` fetches from elsewhere comes from `url`."""
    os.environ.update(variables(url))
    _count_bytes()
    try:
        from requests.adapters import HTTPAdapter
    except ImportError:
        return
    send = HTTPAdapter.send

    def local(self: Any, request: Any, *args: Any, **how: Any) -> Any:
        if not request.url.startswith("http://127.0.0.1"):
            request.url = f"{url}/page"
        return send(self, request, *args, **how)

    HTTPAdapter.send = local  # type: ignore[method-assign]  # the point of it


def _count_bytes() -> None:
    """Let tiktoken, which loads its vocabularies from the web, take each byte for a token."""
    try:
        import tiktoken
    except ImportError:
        return
    ranks = {bytes([value]): value for value in range(256)}
    counted = tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    for name in ("get_encoding", "encoding_for_model"):
        setattr(tiktoken, name, lambda *names, **how: counted)


KINDS: dict[str, str] = {}
"""What a case says of connections whose names do not tell their type."""


def kind_of(connection: str) -> str:
    """What a connection that a flow names is made to be, by its name."""
    name = connection.lower()
    if connection in KINDS:
        return KINDS[connection]
    if "custom" in name or "conn_" in name or name in ("translate_connection", "my_custom_connection"):
        return "custom"
    if "serverless" in name:
        return "serverless"
    if "azure" in name or "aoai" in name:
        return "azure"
    if "serp" in name:
        return "serp"
    return "openai"


SECRETS = {"api_key": "k", "azure_key": "s", "secret_key": "s", "AZURE_OPENAI_API_KEY": "k"}


def configs(url: str) -> dict[str, str]:
    """What a custom connection holds beside its secrets."""
    plain = {"api_base": url, "key1": "v1", "k": "v", "url": f"{url}/x"}
    return {**plain, **{key: value for key, value in variables(url).items() if key not in SECRETS}}


def variables(url: str) -> dict[str, str]:
    """The environment that examples ask for, which leads to the scripted model."""
    return {
        "AZURE_OPENAI_API_KEY": "k",
        "AZURE_OPENAI_API_BASE": url,
        "AZURE_OPENAI_ENDPOINT": url,
        "AZURE_OPENAI_API_VERSION": "2024-02-01",
        "AZURE_OPENAI_DEPLOYMENT": "gpt-35-turbo",
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_VERSION": "2024-02-01",
        "API_TYPE": "openai",
        "OPENAI_API_TYPE": "openai",
        "MODEL": "gpt-35-turbo",
        "CHAT_DEPLOYMENT_NAME": "gpt-35-turbo",
    }
