"""A batch endpoint as its users have it: commands in one terminal, the server in another."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Self

from promptflow_lite.settings import settings
from tests.flows_of import echo
from tests.serving.endpoints.desk import Desk, run
from tests.waiting import until

__all__ = ["BatchDesk", "rows"]

JSONL = {"content-type": "application/jsonl"}


def rows(*texts: str, **more: Any) -> bytes:
    """Rows of JSON Lines: an id and a text."""
    return b"".join(
        json.dumps({"id": f"r{n}", "text": text, **more}).encode() + b"\n" for n, text in enumerate(texts)
    )


class BatchDesk(Desk):
    """The batch endpoint `my-endpoint`, served; its deployment `blue` echoes, and fails on `bad`.

    Args:
        folder: where files go.
        body: more of its batch_endpoint.yml.
        settings: of the deployment.
    """

    group = "batch-endpoint"

    def __init__(self, folder: Path, body: str = "", **settings: Any) -> None:
        super().__init__(folder, body)
        self._settings = settings

    def __enter__(self) -> Self:
        settings.cache_clear()
        file = self.folder / "batch_endpoint.yml"
        file.write_text(f"name: my-endpoint\n{self._body}")
        made = json.loads(run("batch-endpoint", "create", "-f", str(file), "-o", "json"))
        self.key = made["primary_key"]
        self.deploy("blue", echo(self.folder / "echo"), **self._settings)
        self.start()
        return self

    def deploy(self, name: str, source: Path, *options: str, code: int = 0, **settings: Any) -> str:
        """`pf batch-deployment create` from a file."""
        file = self.folder / f"{name}.yml"
        head = f"name: {name}\nendpoint_name: my-endpoint\nflow: {source}\n"
        file.write_text(f"{head}settings: {json.dumps(settings)}\n")
        return run("batch-deployment", "create", "--file", str(file), *options, code=code)

    def call(
        self, method: str, path: str, body: bytes | Any = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        """A request and its answer; what is neither bytes nor parts of them goes as JSON."""
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return response, response.read()

    def ask_for(self, body: bytes | Any, **headers: str) -> str:
        """The name of a job over rows, or over what a JSON body names."""
        kind = JSONL if isinstance(body, bytes) else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response, text = self.call("POST", "/jobs", body, {**kind, **named})
        assert response.status == 201, text
        return str(json.loads(text)["name"])

    def job(self, name: str) -> dict[str, Any]:
        """What `GET /jobs/{name}` says."""
        response, text = self.call("GET", f"/jobs/{name}")
        assert response.status == 200, text
        return dict(json.loads(text)["properties"])

    def until(self, name: str, *statuses: str) -> dict[str, Any]:
        """The job, once it is in one of the states."""
        until(lambda: self.job(name)["status"] in statuses, lambda: self.job(name), seconds=120)
        return self.job(name)

    def over(self, name: str) -> dict[str, Any]:
        """The job, once it has ended."""
        return self.until(name, "Completed", "Failed", "Canceled")

    def output(self, name: str) -> str:
        """What `GET /jobs/{name}/output` gives."""
        response, text = self.call("GET", f"/jobs/{name}/output")
        assert response.status == 200, text
        return text.decode()


def by_path(uri: str, kind: str = "UriFile", **literals: Any) -> dict[str, Any]:
    """A body in Azure ML's shape."""
    given = {name: {"JobInputType": "Literal", "Value": value} for name, value in literals.items()}
    return {"properties": {"InputData": {"data": {"JobInputType": kind, "Uri": uri}, **given}}}
