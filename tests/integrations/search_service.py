"""A contract stub of Azure AI Search on loopback: the documented REST protocol over a few documents.

Not Azure: no semantic ranker, no analyzers, other scores. Run by
`with SearchService(documents) as service:`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "search-key"
_ROUTE = re.compile(r"/indexes\('([^']+)'\)(/docs/search\.post\.search|/docs/search\.index)?")
_FILTER = re.compile(r"(\w+) (eq|ne) '((?:[^']|'')*)'")


@dataclass(frozen=True)
class Fault:
    """What the next request gets in place of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class SearchService:
    """An index `manual` of `documents`, and those that are put there; a page holds at most `page` documents.

    `document_faults` maps a document's `id` to the statuses that its next uploads get.
    """

    def __init__(
        self,
        documents: Sequence[Mapping[str, Any]] = (),
        faults: Sequence[Fault] = (),
        page: int = 50,
        document_faults: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.indexes: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.shown: dict[str, dict[str, Mapping[str, Any]]] | None = None
        """What searches see, where that is older than the indexes."""
        self.schemas: dict[str, dict[str, Any]] = {}
        if documents:
            self.indexes["manual"] = {str(number): one for number, one in enumerate(documents)}
        self.faults = deque(faults)
        self.document_faults = {name: deque(found) for name, found in (document_faults or {}).items()}
        self.page = page
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        """When each came."""
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

    def answer(
        self, method: str, path: str, key: str | None, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        url = urlsplit(path)
        named = _ROUTE.fullmatch(url.path)
        if key != KEY:
            return 403, _error("Forbidden", "the key is not known")
        if named is None or "api-version" not in parse_qs(url.query):
            return 404, _error("NotFound", f"no such route: {path}")
        name, operation = named.groups()
        if (method, operation) == ("PUT", None):
            return self._put(name, body)
        if name not in self.indexes:
            return 404, _error("IndexNotFound", f"The index '{name}' was not found.")
        if operation == "/docs/search.index":
            results = [self._index(name, action) for action in body["value"]]
            return (200 if all(one["status"] for one in results) else 207), {"value": results}
        return self._found(name, path, body)

    def _put(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Fields may be added, never changed; one is the key."""
        before = {one["name"]: one for one in self.schemas.get(name, {}).get("fields", [])}
        now = {one["name"]: one for one in body["fields"]}
        if [one.get("key") for one in body["fields"]].count(True) != 1:
            return 400, _error("InvalidField", "There must be exactly one key field.")
        if changed := [field for field, one in before.items() if now.get(field) != one]:
            return 400, _error(
                "CannotChangeExistingField", f"Existing field '{changed[0]}' cannot be changed."
            )
        created = name not in self.schemas
        self.schemas[name] = body
        self.indexes.setdefault(name, {})
        return (201 if created else 200), body

    def _index(self, name: str, action: Mapping[str, Any]) -> dict[str, Any]:
        fields = {one["name"]: one for one in self.schemas[name]["fields"]}
        row = {field: value for field, value in action.items() if not field.startswith("@")}
        if action["@search.action"] == "delete":
            self.indexes[name].pop(row["key"], None)
            return _result(row["key"], 200)
        faults = self.document_faults.get(row["id"])
        if faults:
            return _result(row["key"], faults.popleft(), "said no")
        if re.fullmatch(r"[\w\-=]+", row["key"], re.ASCII) is None or not row.keys() <= fields.keys():
            return _result(row["key"], 400, "an invalid key or field")
        if len(row["vector"]) != fields["vector"]["dimensions"]:
            return _result(row["key"], 400, "a vector of another dimension")
        self.indexes[name][row["key"]] = row
        return _result(row["key"], 201)

    def _found(self, name: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = body.get("filter")
        test = _FILTER.fullmatch(wanted) if wanted else None
        if wanted and test is None:
            return 400, _error("InvalidRequestParameter", f"Invalid expression: {wanted}")
        hidden = {
            one["name"]
            for one in self.schemas.get(name, {}).get("fields", [])
            if one.get("retrievable") is False
        }
        scored = [
            (self._score(document, body), document)
            for document in (self.shown or self.indexes)[name].values()
        ]
        rows = [
            _shown({field: value for field, value in document.items() if field not in hidden}, score, body)
            for score, document in sorted(scored, key=lambda pair: -pair[0])
            if score > 0 and _passes(document, test)
        ]
        skip, top = int(body.get("skip") or 0), int(body.get("top") or 50)
        answer: dict[str, Any] = {"value": rows[skip : skip + min(top, self.page)]}
        if top > self.page and len(rows) > skip + self.page:
            following = {**body, "skip": skip + self.page, "top": top - self.page}
            answer |= {"@search.nextPageParameters": following, "@odata.nextLink": f"{self.url}{path}"}
        return 200, answer

    def _score(self, document: Mapping[str, Any], body: Mapping[str, Any]) -> float:
        if body.get("search") == "*":
            return 1.0
        words = set(re.findall(r"\w+", (body.get("search") or "").lower()))
        score = float(len(words & set(re.findall(r"\w+", str(document["content"]).lower()))))
        for query in body.get("vectorQueries") or []:
            if query["kind"] == "vector":
                score += sum(a * b for a, b in zip(query["vector"], document[query["fields"]], strict=True))
            else:
                score += query["text"] == document["content"]
        return score


def _shown(document: Mapping[str, Any], score: float, body: Mapping[str, Any]) -> dict[str, Any]:
    select = body["select"].split(",") if body.get("select") else list(document)
    row = {"@search.score": score, **{name: document[name] for name in select}}
    return {**row, "@search.rerankerScore": score + 1} if body.get("queryType") == "semantic" else row


def _passes(document: Mapping[str, Any], test: re.Match[str] | None) -> bool:
    return test is None or (document.get(test[1]) == test[3]) == (test[2] == "eq")


def _result(key: str, status: int, message: str | None = None) -> dict[str, Any]:
    return {"key": key, "status": status < 300, "statusCode": status, "errorMessage": message}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _handler(service: SearchService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.times.append(time.monotonic())
            service.requests.append({"path": self.path, **body})
            if service.faults:
                fault = service.faults.popleft()
                self._send(fault.status, fault.body, fault.headers)
                return
            status, answer = service.answer(self.command, self.path, self.headers.get("api-key"), body)
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
