"""Why did a model not answer? One error with a code, and the provider's words without our secrets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from promptflow_lite.errors import NodeError

__all__ = ["ModelError", "refused", "seconds_of", "wait_asked_for"]

_CONTENT = frozenset({"content_filter", "responsibleaipolicyviolation", "content_policy_violation"})
_LENGTH = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_RETRIED = frozenset({408, 409, 429})
_SLOWING = frozenset({429, 529})
"""Too many requests; 529 is what overloaded servers say that have run out of 503s."""
_LONGEST_MESSAGE = 1000


class ModelError(NodeError):
    """A model's endpoint refused, failed, or could not be understood.

    The codes: `rate-limited`, `quota`, `auth`, `content-filter`, `refusal`, `length`, `context-length`,
    `bad-request`, `model-not-found`, `server-error`, `timeout`, `bad-answer`, `connection`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        retryable: bool = False,
        slows: bool = False,
        wait_s: float | None = None,
        details: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retryable = retryable
        """Whether the same request may fare better later."""
        self.slows = slows
        """Whether the endpoint says that it is asked too much: all of its callers wait."""
        self.wait_s = wait_s
        """How long the endpoint asked to be left alone."""
        self.details = dict(details or {})
        """The provider's facts: status, code, type, request id."""


def refused(status: int, header: Callable[[str], str | None], body: bytes, *, where: str) -> ModelError:
    """The error of an answer whose status is not 200.

    Args:
        status: the HTTP status.
        header: a header's value by its name.
        body: what the provider said.
        where: the connection and what was asked of it, for the message.
    """
    said = _error_of(body)
    names = {str(said.get(key)).lower() for key in ("code", "type")}
    inner = said.get("innererror")
    if isinstance(inner, Mapping):
        names.add(str(inner.get("code")).lower())
    code = _code(status, names)
    text = str(said.get("message") or body[:_LONGEST_MESSAGE].decode("utf-8", "replace")).strip()
    if 300 <= status < 400:
        text = f"it points elsewhere ({header('location')}), and keys are not sent elsewhere"
    details = {"status": status, "request_id": header("x-request-id") or header("apim-request-id")}
    wait_s = wait_asked_for(header)
    details |= {key: said[key] for key in ("code", "type") if said.get(key) is not None}
    return ModelError(
        f"{where}: {status} {text[:_LONGEST_MESSAGE] or 'without a word'}",
        code=code,
        retryable=code != "quota" and (status in _RETRIED or status >= 500),
        slows=code != "quota" and (status in _SLOWING or (status == 503 and wait_s is not None)),
        wait_s=wait_s,
        details={key: value for key, value in details.items() if value is not None},
        hint=_HINTS.get(code),
    )


_LENGTHS = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s|)")
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HINTS = {
    "auth": "look at the connection's api_key with 'pf connection show --name NAME'",
    "model-not-found": "is the model (Azure: deployment_name) right, and the connection's address?",
}


def _code(status: int, names: set[str]) -> str:
    for code, known in (("content-filter", _CONTENT), ("context-length", _LENGTH), ("quota", _QUOTA)):
        if names & known:
            return code
    if status >= 500:
        return "server-error"
    return {
        401: "auth",
        403: "auth",
        404: "model-not-found",
        408: "timeout",
        409: "server-error",
        429: "rate-limited",
    }.get(status, "bad-request")


def _error_of(body: bytes) -> Mapping[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(data, dict):
        return {}
    said = data.get("error", data)
    return said if isinstance(said, dict) else {"message": said}


def wait_asked_for(header: Callable[[str], str | None]) -> float | None:
    """The seconds that `retry-after-ms` or `retry-after` (seconds, or a date) ask for; `None` for none."""
    text = header("retry-after-ms")
    seconds = _number(text)
    if seconds is not None:
        return max(0.0, seconds / 1000)
    text = header("retry-after")
    seconds = _number(text)
    if seconds is None and text:
        import email.utils  # noqa: PLC0415  # heavy: first use

        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return None if seconds is None else max(0.0, seconds)


def seconds_of(text: str | None) -> float | None:
    """The seconds of a length of time as the rate limit headers write it: `1s`, `6m0s`, `17ms`, `0.5`."""
    found = _LENGTHS.findall(text or "")
    return sum(float(number) * _UNITS[unit] for number, unit in found) if found else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number == number and number != float("inf") else None
