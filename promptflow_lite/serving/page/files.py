"""Which files is the chat page? Those beside this module, read once and looked up by name.

They are the same for every flow and say nothing of this one, so that they are open where keys are asked for:
the page gets the flow's schema with the key that a person gives it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from promptflow_lite.serving.call import Receive, Scope, Send
from promptflow_lite.serving.refusal import Refusal
from promptflow_lite.serving.reply import send as reply

__all__ = ["Files", "Index", "paths"]

_KINDS = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only our own files run, none of them inline; and text cannot become markup (trusted types)."""
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


@cache
def _files() -> dict[str, tuple[bytes, bytes]]:
    """Each file's kind and bytes, by its name."""
    folder = Path(__file__).with_name("static")
    return {
        file.name: (_KINDS[file.suffix], file.read_bytes())
        for file in sorted(folder.iterdir())
        if file.suffix in _KINDS
    }


def paths() -> frozenset[str]:
    """The paths of the page and of its files."""
    return frozenset({"/", *(f"/page/{name}" for name in _files())})


class Index:
    """The ASGI application of `/`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        kind, body = _files()["index.html"]
        await reply(send, 200, body, kind, _HEADERS)


class Files:
    """The ASGI application of `/page/{name}`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = _files().get(scope["path_params"]["name"])
        if found is None:
            raise Refusal(404, "not-found", "there is nothing at that path")
        kind, body = found
        await reply(send, 200, body, kind, _HEADERS)
