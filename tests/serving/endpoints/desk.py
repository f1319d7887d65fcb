"""An endpoint as its users have it: commands in one terminal, the server in another, callers elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from promptflow_lite.settings import settings
from tests.commands import pf
from tests.flows_of import ECHO, ECHO_TOOL, write
from tests.waiting import until

__all__ = ["Desk", "Load", "flow", "run"]


def flow(folder: Path, says: str) -> Path:
    """A flow that answers with its own name; its module is called as in every other such flow."""
    return write(folder, dag=ECHO, echo__py=ECHO_TOOL.replace("text * times", f"{says!r}"))


def run(*args: str, code: int = 0) -> str:
    """What `pf` writes to stdout, or to stderr where its exit code shall be another than 0."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        found = pf(*args)
    assert found == code, (args, found, out.getvalue(), errors.getvalue())
    return out.getvalue() if code == 0 else errors.getvalue()


class Desk:
    """The endpoint `my-endpoint`, served.

    Args:
        folder: where files go.
        body: more of its endpoint.yml.
        options: of the command that serves it.
    """

    group = "endpoint"

    def __init__(self, folder: Path, body: str = "", *, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self._body = body
        self._options = options
        self.key = ""

    def __enter__(self) -> Self:
        settings.cache_clear()
        (self.folder / "endpoint.yml").write_text(f"name: my-endpoint\n{self._body}")
        made = json.loads(run("endpoint", "create", "-f", str(self.folder / "endpoint.yml"), "-o", "json"))
        self.key = made["primary_key"]
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve it."""
        command = [sys.executable, "-m", "promptflow_lite", self.group, "serve", "my-endpoint", "--port", "0"]
        command += self._options
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        self.said: list[str] = []

        def listen() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.said.append(line)

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()
        until(lambda: self._addresses() or self.process.poll() is not None, lambda: self.said)
        self.port = int(self._addresses()[0][1])

    def _addresses(self) -> list[re.Match[str]]:
        return [found for line in self.said if (found := re.search(r"at http://[^:]+:(\d+)", line))]

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """End it; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(60)
        self._listener.join(60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def deploy(self, name: str, source: Path, *options: str, body: str = "", code: int = 0) -> str:
        """`pf deployment create` from a file."""
        file = self.folder / f"{name}.yml"
        file.write_text(f"name: {name}\nendpoint_name: my-endpoint\nflow: {source}\n{body}")
        return run("deployment", "create", "--file", str(file), *options, code=code)

    def update(self, *options: str, code: int = 0) -> str:
        """`pf endpoint update`."""
        return run("endpoint", "update", "--name", "my-endpoint", *options, code=code)

    def score(self, text: str = "hi", **headers: str) -> tuple[int, Any]:
        """Status and JSON of `POST /score`, on a connection of its own."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            return self.ask(connection, text, **headers)

    def ask(self, connection: HTTPConnection, text: str = "hi", **headers: str) -> tuple[int, Any]:
        """The same on a given connection."""
        sent = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/score", json.dumps({"text": text}), {**sent, **named})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def get(self, path: str) -> str:
        """The text at a path."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"authorization": f"Bearer {self.key}"})
            return connection.getresponse().read().decode()

    def metric(self, pattern: str) -> float:
        """The sum of the series that match."""
        lines = [line for line in self.get("/metrics").splitlines() if re.match(pattern, line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


class Load:
    """Callers that ask without a pause, until the end of the block.

    Args:
        desk: whom.
        callers: how many.
    """

    def __init__(self, desk: Desk, callers: int = 4) -> None:
        self._desk = desk
        self._ended = threading.Event()
        self.answers: Counter[tuple[int, str]] = Counter()
        self.failures: list[Any] = []
        self._asked = [0] * callers
        self._threads = [threading.Thread(target=self._call, args=[n], daemon=True) for n in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def taken(self, *, at_least: int = 200) -> Counter[tuple[int, str]]:
        """The answers since the last look: so many, and to each caller one that it asked for after now."""
        before = list(self._asked)
        until(
            lambda: (
                self.answers.total() >= at_least
                and all(now >= then + 2 for now, then in zip(self._asked, before, strict=True))
            ),
            lambda: (self.answers, self.failures),
        )
        found, self.answers = self.answers, Counter()
        return found

    def _call(self, number: int) -> None:
        connection = HTTPConnection("127.0.0.1", self._desk.port, timeout=60)
        with contextlib.closing(connection):
            while not self._ended.is_set():
                self._asked[number] += 1
                try:
                    status, body = self._desk.ask(connection)
                except Exception as error:
                    self.failures.append(error)
                    connection.close()
                    continue
                self.answers[status, body.get("text", "")] += 1
                if status != 200:
                    self.failures.append(body)
