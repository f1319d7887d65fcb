"""Who comes in, and what does everyone hear? Host, origin, key; then an answer, whatever happens.

A plain ASGI middleware, before any routing: a path written in another way cannot slip past it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType

from starlette.exceptions import HTTPException

from promptflow_lite.serving.call import Call, Limits, Message, Receive, Scope, Send, call_of
from promptflow_lite.serving.keys import Keys, key_of
from promptflow_lite.serving.metrics import Metrics
from promptflow_lite.serving.refusal import ClientGone, Refusal
from promptflow_lite.serving.reply import send as reply
from promptflow_lite.serving.running import log

__all__ = ["Access", "App", "Closing", "Door", "of_routing"]

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_AZURE_ID = b"x-ms-client-request-id"
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in."""

    keys: Keys
    hosts: Collection[str] | None = None
    """Names in the `Host` header, among which no name of a stranger's is; `None` for any."""
    origins: Collection[str] = ()
    """Other sites whose pages may call, such as `https://app.example.com`."""


class Closing:
    """Whether the server is going down: the server says it, the door hears it."""

    def __init__(self) -> None:
        self.begun = False
        self.refuses = True
        """Whether new requests get 503; otherwise they are answered, and their connections closed."""


class Door:
    """The middleware.

    Args:
        app: what is behind it.
        access: who may come in.
        limits: what a body may cost.
        metrics: where answers are counted.
        paths: the paths that are counted under their own name.
        straight: who answers `POST` to a path, asked without the routing that all others go through.
        unlocked: the paths that are answered without a key: whether it serves, and the page, which asks for
            the key itself.
        closing: once it has begun, new requests are refused.
    """

    def __init__(
        self,
        app: App,
        *,
        access: Access,
        limits: Limits,
        metrics: Metrics,
        paths: Collection[str],
        unlocked: Collection[str],
        straight: Mapping[str, App] = MappingProxyType({}),
        closing: Closing,
    ) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._metrics = metrics
        self._paths = frozenset(paths)
        self._unlocked = frozenset(unlocked)
        self._straight = dict(straight)
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        call = call_of(scope, self._limits)
        sent = _Sent(call, send, self._cors(call))
        try:
            try:
                if scope["method"] == "OPTIONS" and self._is_preflight(call):
                    await reply(sent, 204, b"", b"text/plain", _PREFLIGHT)
                else:
                    self._admit(call)
                    known = self._straight.get(call.path) if scope["method"] == "POST" else None
                    await (known or self._app)(scope, receive, sent)
            except ClientGone:
                sent.status = 499
            except Refusal as refusal:
                await self._refuse(call, sent, refusal)
            except Exception:
                log.exception("%s %s", call.request_id, call.path[:200])
                await self._refuse(
                    call, sent, Refusal(500, "internal", "the server failed; its log says why")
                )
        finally:
            path = call.path if call.path in self._paths else "other"
            self._metrics.answered(
                call.deployment, path, sent.status or 499, call.code, perf_counter() - began
            )

    def _admit(self, call: Call) -> None:
        """Let the request pass.

        Raises:
            Refusal: 401, 403 or 503.
        """
        access, headers = self._access, call.headers
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if access.hosts is not None and _name_of(host) not in access.hosts:
            raise Refusal(403, "forbidden-host", "this endpoint does not answer to that Host")
        origin = headers.get(b"origin")
        if origin is not None and not self._may_call(origin.decode("latin-1").lower(), host):
            raise Refusal(403, "forbidden-origin", "pages of that Origin may not call this endpoint")
        is_locked = access.keys.are_asked_for and call.path not in self._unlocked
        if is_locked and not access.keys.admit(key_of(headers)):
            raise Refusal(
                401,
                "unauthorized",
                "expected a key: 'Authorization: Bearer KEY' or 'api-key: KEY'",
                headers=[(b"www-authenticate", b"Bearer")],
            )
        if self._closing.begun and not self._closing.refuses:
            call.extra.append(_CLOSE)
        elif self._closing.begun and call.path != "/metrics":
            raise Refusal(
                503,
                "closing",
                "the server is going down",
                headers=[(b"retry-after", b"1"), _CLOSE],
            )

    def _may_call(self, origin: str, host: str) -> bool:
        return origin in self._access.origins or origin in (f"http://{host}", f"https://{host}")

    def _cors(self, call: Call) -> list[tuple[bytes, bytes]]:
        origin = call.headers.get(b"origin")
        if origin is None or origin.decode("latin-1").lower() not in self._access.origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, retry-after, x-ignored"),
            (b"vary", b"origin"),
        ]

    def _is_preflight(self, call: Call) -> bool:
        return b"access-control-request-method" in call.headers and bool(self._cors(call))

    async def _refuse(self, call: Call, sent: _Sent, refusal: Refusal) -> None:
        call.code = refusal.code
        if sent.status:  # the answer has begun: it breaks off, and the caller sees that it did
            raise ConnectionAbortedError(refusal.code)
        body = refusal.body(openai=call.path.startswith("/v1/"))
        await reply(sent, refusal.status, body, b"application/json", refusal.headers)


class _Sent:
    """What was sent: adds the headers that every answer has, and remembers the status."""

    __slots__ = ("_call", "_headers", "_send", "status")

    def __init__(self, call: Call, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._call = call
        self._send = send
        self._headers = headers
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            call = self._call
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", call.request_id.encode()),
                *_SECURITY,
                *self._headers,
                *call.extra,
                *(((b"traceparent", call.traceparent),) if call.traceparent else ()),
                *(((_AZURE_ID, call.request_id.encode()),) if _AZURE_ID in call.headers else ()),
            ]
        await self._send(message)


_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, api-key, content-type, x-request-id, traceparent"),
    (b"access-control-max-age", b"600"),
)


def _name_of(host: str) -> str:
    """The name in a `Host` header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def of_routing(error: HTTPException) -> Refusal:
    """What a caller hears of a path or method that there is none of."""
    headers: Mapping[str, str] = error.headers or {}
    known = {404: "not-found", 405: "method-not-allowed"}
    said = {404: "there is nothing at that path", 405: "that path does not take this method"}
    return Refusal(
        error.status_code,
        known.get(error.status_code, "refused"),
        said.get(error.status_code, "the request was refused"),
        headers=[(name.lower().encode(), value.encode()) for name, value in headers.items()],
    )
