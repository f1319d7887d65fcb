"""`POST /feedback`: how good was an earlier answer? One JSON line each, kept in a file."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow_lite.serving.call import Call, Receive, Scope, Send
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import dumps, send_json
from promptflow_lite.serving.traffic.scrub import scrub
from promptflow_lite.serving.traffic.watch import Traffic

__all__ = ["Feedback"]

_LARGEST = 64 * 1024


class Feedback:
    """The ASGI application of the path.

    Takes `request_id`, `score` and `comment`, and keeps whatever else stands beside them, for Prompt flow's
    callers send what they like.

    Args:
        file: where the lines go; made, with its folder, at the first one.
        endpoint: written into each line.
        traffic: is told of each line too.
    """

    def __init__(self, file: Path, endpoint: str, traffic: Traffic | None = None) -> None:
        self._file = file
        self._endpoint = endpoint
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = Call.of(scope)
        body = await call.json(receive)
        if not isinstance(body, dict):
            raise Refusal(400, "wrong-input", "expected an object with 'request_id', 'score' and 'comment'")
        _check(body)
        line = {
            "time": time.time(),
            "endpoint": self._endpoint,
            "request_id": body.get("request_id"),
            "score": body.get("score"),
            "comment": body.get("comment"),
            "traceparent": None if call.traceparent is None else call.traceparent.decode(),
            "body": {
                key: value for key, value in body.items() if key not in ("request_id", "score", "comment")
            },
        }
        text, _ = scrub(dumps(line))
        if len(text) > _LARGEST:
            raise Refusal(413, "body-too-large", f"feedback may have {_LARGEST:,} bytes")
        await asyncio.to_thread(self._keep, text)
        if self._traffic is not None:
            await asyncio.to_thread(self._traffic.rated, line)
        await send_json(send, 200, {"status": "Feedback received."})

    def _keep(self, text: bytes) -> None:
        """Append a line that nobody but the server's user can read, as the requests that are kept."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, text + b"\n")  # one write: lines of several workers stay whole
        finally:
            os.close(handle)


def _check(body: Mapping[str, Any]) -> None:
    request_id, score, comment = body.get("request_id"), body.get("score"), body.get("comment")
    if request_id is not None and (not isinstance(request_id, str) or len(request_id) > 128):
        raise Refusal(400, "wrong-input", "request_id: expected the x-request-id of an answer")
    if score is not None and not isinstance(score, bool | int | float):
        raise Refusal(400, "wrong-input", "score: expected a number, true or false")
    if comment is not None and (not isinstance(comment, str) or len(comment) > 10_000):
        raise Refusal(400, "wrong-input", "comment: expected text of at most 10,000 characters")
