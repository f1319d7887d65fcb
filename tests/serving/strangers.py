"""What strangers send to every door: to a flow's, to an endpoint's, to a batch endpoint's."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["KINDS", "NO_HTTP", "PATHS", "SCORED", "WRONG_KEYS", "a_thousand", "idle", "schemathesis"]

SCORED = [
    (b"{", 400, "bad-json"),
    (b"", 400, "missing-input"),
    (b"{}", 400, "missing-input"),
    (b"[]", 400, "wrong-input"),
    (b"null", 400, "wrong-input"),
    (b"\xff\xfe", 400, "bad-json"),
    (b'{"text": NaN}', 400, "bad-json"),
    (b'{"text": null}', 400, "wrong-input"),
    (b'{"text": {"a": 1}}', 400, "wrong-input"),
    (b'{"text": "\\ud800"}', 400, "bad-json"),
    (b'{"text": "a", "times": 3.9}', 400, "wrong-input"),
    (b'{"text":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "bad-json"),
    (b'{"text": "a", "more":' + b"[" * 200 + b"]" * 200 + b"}", 400, "too-deep"),
    (b'{"text": "a", "i": {"data:image/png;path": "/etc/passwd"}}', 400, "image-by-path"),
    (b'{"text": "a", "i": [{"d\\u0061ta:image/png;p\\u0061th": "x"}]}', 400, "image-by-path"),
]
"""Bodies for `/score` of the flow that echoes, with the status and the code of the answer."""

KINDS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonp"]
"""Content types that are not JSON."""

PATHS = [
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/page/../app.py",
    "/page/%2e%2e%2fapp.py",
    "/static/..%5c..%5cetc",
    "//score",
    "/score/",
    "/SCORE",
    "/v1/models/../../etc/passwd",
    "/%00",
    "/score%0d%0ax-injected:%201",
]
"""Paths that lead nowhere."""

NO_HTTP = [
    b"\x16\x03\x01\x02\x00",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
    b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
]
"""Bytes that are no request."""

WRONG_KEYS = [None, "", "wrong", "pf-" + "x" * 43, "\xff" * 20, "x" * 5000]
"""What is no key of a server; `None` for none at all."""


async def a_thousand(port: int, request: bytes) -> tuple[list[bytes], list[bytes]]:
    """A thousand requests at once: the answers of those that were served, and of those told to come back.

    Each has one of the two answers, and who shall come back is told when.
    """

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(1000)]
    answers = [task.result() for task in tasks]
    done = [answer for answer in answers if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 "))]
    told = [answer for answer in answers if answer.startswith(b"HTTP/1.1 429 ")]
    assert len(done) + len(told) == 1000
    assert all(b"\r\nretry-after: " in answer for answer in told)
    return done, told


@contextmanager
def idle(port: int, head: str) -> Iterator[None]:
    """200 connections: 100 send nothing, 100 a part of a body, and 50 of these then that no more comes.

    Args:
        port: of the server.
        head: of a request, without its length.
    """
    with ExitStack() as stack:
        open_ones = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(200)
        ]
        for connection in open_ones[:100]:
            connection.sendall(f"{head}content-length: 50\r\n\r\n{{".encode())
        for connection in open_ones[:50]:
            connection.shutdown(socket.SHUT_WR)
        yield


def schemathesis(port: int, key: str, *more: str) -> None:
    """Schemathesis' own command: examples, every bound of the schema, and fuzzing, with all its checks."""
    url = f"http://127.0.0.1:{port}/swagger.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--no-color", "--seed", "7"]
    command += ["--header", f"Authorization: Bearer {key}", "--max-examples", "10", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
