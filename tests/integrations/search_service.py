"""A contract stub of Azure AI Search on loopback: the documented REST protocol over a few documents.

Not Azure: no semantic ranker, no analyzers, other scores. Run by
`with SearchService(documents) as service:`.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "search-key"
_SEARCH = re.compile(r"/indexes\('([^']+)'\)/docs/search\.post\.search")
_EQUALS = re.compile(r"(\w+) eq '((?:[^']|'')*)'")


@dataclass(frozen=True)
class Fault:
    """What the next request gets in place of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class SearchService:
    """One index, `manual`, with a vector field `vector`; a page holds at most `page` documents."""

    def __init__(
        self, documents: Sequence[Mapping[str, Any]], faults: Sequence[Fault] = (), page: int = 50
    ) -> None:
        self.documents = documents
        self.faults = deque(faults)
        self.page = page
        self.requests: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> SearchService:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()

    def answer(self, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        url = urlsplit(path)
        named = _SEARCH.fullmatch(url.path)
        if key != KEY:
            return 403, _error("Forbidden", "the key is not known")
        if named is None or "api-version" not in parse_qs(url.query):
            return 404, _error("NotFound", f"no such route: {path}")
        if named.group(1) != "manual":
            return 404, _error("IndexNotFound", f"The index '{named.group(1)}' was not found.")
        return self._found(path, body)

    def _found(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = body.get("filter")
        equals = _EQUALS.fullmatch(wanted) if wanted else None
        if wanted and equals is None:
            return 400, _error("InvalidRequestParameter", f"Invalid expression: {wanted}")
        scored = [(self._score(document, body), document) for document in self.documents]
        rows = [
            _shown(document, score, body)
            for score, document in sorted(scored, key=lambda pair: -pair[0])
            if score > 0 and (equals is None or document.get(equals.group(1)) == equals.group(2))
        ]
        skip, top = int(body.get("skip") or 0), int(body.get("top") or 50)
        answer: dict[str, Any] = {"value": rows[skip : skip + min(top, self.page)]}
        if top > self.page and len(rows) > skip + self.page:
            following = {**body, "skip": skip + self.page, "top": top - self.page}
            answer |= {"@search.nextPageParameters": following, "@odata.nextLink": f"{self.url}{path}"}
        return 200, answer

    def _score(self, document: Mapping[str, Any], body: Mapping[str, Any]) -> float:
        words = set(re.findall(r"\w+", (body.get("search") or "").lower()))
        score = float(len(words & set(re.findall(r"\w+", str(document["content"]).lower()))))
        for query in body.get("vectorQueries") or []:
            if query["kind"] == "vector":
                score += sum(a * b for a, b in zip(query["vector"], document["vector"], strict=True))
            else:
                score += query["text"] == document["content"]
        return score


def _shown(document: Mapping[str, Any], score: float, body: Mapping[str, Any]) -> dict[str, Any]:
    select = body["select"].split(",") if body.get("select") else list(document)
    row = {"@search.score": score, **{name: document[name] for name in select}}
    return {**row, "@search.rerankerScore": score + 1} if body.get("queryType") == "semantic" else row


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _handler(service: SearchService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.requests.append({"path": self.path, **body})
            if service.faults:
                fault = service.faults.popleft()
                self._send(fault.status, fault.body, fault.headers)
                return
            status, answer = service.answer(self.path, self.headers.get("api-key"), body)
            self._send(status, json.dumps(answer).encode(), {"content-type": "application/json"})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
