"""What came in? One request: its headers, its identity, its body within limits."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.tools.clock import Clock

__all__ = ["Call", "Limits", "Message", "Receive", "Scope", "Send", "call_of", "check_value"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NAME = re.compile(r"[A-Za-z0-9_.\[\]\-]{1,128}")
_KEY = "promptflow_lite"
_DEEPEST = 64


class Limits:
    """What a body may cost, and what all bodies that are being read may cost together.

    Args:
        body_bytes: the largest body.
        body_s: how long a body may take to come in.
    """

    def __init__(self, *, body_bytes: int = 8 * 1024 * 1024, body_s: float = 15.0) -> None:
        self.body_bytes = body_bytes
        self.body_s = body_s
        self._room = 32 * body_bytes

    def take(self, size: int) -> None:
        """Count bytes that are kept.

        Raises:
            Refusal: 429, all bodies together are too large.
        """
        if size > self._room:
            raise Refusal(
                429, "too-many-requests", "too many large requests", headers=[(b"retry-after", b"1")]
            )
        self._room -= size

    def give_back(self, size: int) -> None:
        """Count bytes that are done with."""
        self._room += size


@dataclass(slots=True)
class Call:
    """One request, as the door let it in."""

    headers: Mapping[bytes, bytes]
    """Names in lower case; of a repeated header the last."""
    path: str
    """The exact path as it came, without the mount's prefix."""
    request_id: str
    traceparent: bytes | None
    limits: Limits
    deployment: str = ""
    """Who answers, once that is known."""
    code: str = ""
    """Of the error, if there was one."""
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Headers for the answer."""
    size: int = 0
    """Bytes of its body, once that was read."""

    @staticmethod
    def of(scope: Scope) -> Call:
        """The call of a request that came through the door."""
        found: Call = scope[_KEY]
        return found

    def ignore(self, names: Sequence[str]) -> None:
        """Say in the answer what of the request is not heard; names may be a stranger's."""
        if names:
            plain = [name if _NAME.fullmatch(name) else "?" for name in names]
            self.extra.append((b"x-ignored", ", ".join(plain)[:1000].encode()))

    async def json(self, receive: Receive, *, empty: Any = None) -> Any:
        """The body.

        Args:
            receive: the request's.
            empty: what stands for no body at all; `None` refuses that.

        Raises:
            Refusal: 400, 408, 413, 415 or 429.
        """
        length = self._length()
        if length == 0 and empty is not None:
            return empty
        _check_kind(self.headers)
        body = await self._read(receive, length)
        if not body and empty is not None:
            return empty
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, "bad-json", f"the body is no JSON: {str(error)[:200]}") from None
        check_value(value, body)
        return value

    async def raw(self, receive: Receive) -> bytes:
        """The body as it came, for whoever parses it.

        Raises:
            Refusal: 400, 408, 413, 415 or 429.
        """
        _check_kind(self.headers)
        return await self._read(receive, self._length())

    def _length(self) -> int | None:
        text = self.headers.get(b"content-length")
        if text is None:
            return None if b"transfer-encoding" in self.headers else 0
        if not text.isdigit():
            raise Refusal(400, "bad-length", "content-length is no number")
        if len(text) > 15 or int(text) > self.limits.body_bytes:
            raise self._too_large()
        return int(text)

    async def _read(self, receive: Receive, length: int | None) -> bytes:
        limits = self.limits
        parts: list[bytes] = []
        size, taken = 0, length or 0
        limits.take(taken)
        try:
            with Clock.after(limits.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "cut-short", "the body was cut short")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > limits.body_bytes:
                        raise self._too_large()
                    if size > taken:
                        limits.take(size - taken)
                        taken = size
                    parts.append(part)
                    if not message.get("more_body", False):
                        self.size = size
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            slow = f"the body took longer than {limits.body_s:g} s"
            raise Refusal(408, "slow-body", slow, headers=[(b"connection", b"close")]) from None
        finally:
            limits.give_back(taken)

    def _too_large(self) -> Refusal:
        return Refusal(413, "body-too-large", f"a body may have {self.limits.body_bytes:,} bytes")


def check_value(value: Any, text: bytes) -> None:
    """Refuse what a stranger's JSON may not hold, whichever way it came.

    Args:
        value: parsed.
        text: of which it was.

    Raises:
        Refusal: 400, it is nested too deep, or names a file of ours as an image.
    """
    if text.count(b"[") + text.count(b"{") > _DEEPEST:
        _check_depth(value)
    _check_images(value, text)


def call_of(scope: Scope, limits: Limits) -> Call:
    """The call of a request; kept in its scope for whoever answers it."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    given = headers.get(b"x-request-id") or headers.get(b"x-ms-client-request-id") or b""
    known = _REQUEST_ID.fullmatch(given)
    traceparent = headers.get(b"traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None
    call = Call(
        headers,
        _path(scope),
        given.decode() if known else token_hex(16),
        traceparent,
        limits,
    )
    scope[_KEY] = call
    return call


def _path(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode()
    path: str = raw.decode("latin-1")
    return path.removeprefix(scope.get("root_path", ""))


def _check_kind(headers: Mapping[bytes, bytes]) -> None:
    """Only JSON comes in: what a web page can send elsewhere without asking (CSRF) is no JSON."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise Refusal(415, "not-json", "expected a body with 'content-type: application/json'")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal(415, "encoded", "a body is taken as it is, without content-encoding")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [part for part in level if isinstance(part, dict | list)]
        if not level:
            return
        level = [part for item in level for part in (item.values() if isinstance(item, dict) else item)]
    raise Refusal(400, "too-deep", f"the body is nested deeper than {_DEEPEST} levels")


def _check_images(value: Any, body: bytes) -> None:
    """A caller's image brings its bytes, or an address for the model; never a file of ours."""
    if b"data:" not in body and b"image_file" not in body and b"\\u" not in body:
        return
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key in item:
                if key == "image_file" or (key.startswith("data:") and ";path" in key.lower()):
                    raise Refusal(400, "image-by-path", "an image is given as base64 or by its address")
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
