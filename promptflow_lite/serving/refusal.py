"""What does a caller hear when there is no answer? One error, written in the form that the path promises."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from promptflow_lite.engine.results import Failure

__all__ = ["ClientGone", "Refusal", "of_failure"]

Header = tuple[bytes, bytes]

_CALLERS = {"content-filter": 400, "context-length": 400}
"""Codes of a model's refusal that are about what the caller wrote; any other is the endpoint's failure."""
_OPENAI_CODES = {"content-filter": "content_filter", "context-length": "context_length_exceeded"}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Refusal(Exception):
    """An answer that is an error: status, code, message, and headers of its own.

    The message is read by strangers: no path, no trace, nothing that user code or a model's endpoint said.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Sequence[Header] = (),
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = tuple(headers)
        self.param = param
        """The field that is wrong, in OpenAI's form."""

    def body(self, *, openai: bool) -> bytes:
        """The error as JSON: `{"error": {"code", "message"}}`, or OpenAI's form with `type` and `param`."""
        return orjson.dumps({"error": self.fields(openai=openai)})

    def fields(self, *, openai: bool) -> dict[str, str | None]:
        """What stands under `error`."""
        if not openai:
            return {"code": self.code, "message": self.message}
        default = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "message": self.message,
            "type": _TYPES.get(self.status, default),
            "param": self.param,
            "code": _OPENAI_CODES.get(self.code, self.code.replace("-", "_")),
        }


def of_failure(failure: Failure | None) -> Refusal:
    """What a caller may know of a line that failed: which node and which kind; the words stay in the log."""
    if failure is None:
        return Refusal(500, "canceled", "the run was canceled")
    where = f"node {failure.node!r}" if failure.node else "the flow"
    if failure.code == "timeout":
        return Refusal(504, "timeout", f"{where} took too long")
    if failure.details is not None:  # only a model's endpoint has such facts
        status = _CALLERS.get(failure.code, 502)
        said = "refused the request" if status == 400 else "gave no answer"
        return Refusal(status, failure.code, f"the model of {where} {said}: {failure.code}")
    return Refusal(500, failure.code, f"{where} failed; the server's log says why")
