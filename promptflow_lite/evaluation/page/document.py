"""How do data become one HTML file that runs nothing but our own script?

The data travel as JSON in a block that is no script, with every `<` written as an escape, so that no text can
close it. The content policy names our style and our script by their hashes and forbids all else: no network,
no inline handler, no markup made of text (trusted types).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["document"]

Redact = Callable[[bytes], bytes]

_STATIC = Path(__file__).with_name("static")
_SCRIPTS = (
    *("japanese", "dom", "format", "drawing", "figures", "charts"),
    *("diff", "trace", "line", "table", "main"),
)
"""The parts of the script, in order: each uses only what stands before it."""


def document(data: Mapping[str, Any], *, redact: Redact | None = None) -> str:
    """The page of what `collect` gives, as HTML.

    Args:
        data: plain data; `title` is the page's.
        redact: applied to all of it, as to a journal's records.
    """
    style, script = _style(), _script()
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if redact is not None:
        content = redact(content.encode()).decode()
    title = escape(str(json.loads(content)["title"]))
    page = (_STATIC / "page.html").read_text(encoding="utf-8")
    head, middle = page.split("<!-- data -->")
    head = head.replace("{policy}", policy).replace("{style}", style).replace("{title}", title)
    return head + _closed(content) + middle.replace("{script}", script)


def _closed(text: str) -> str:
    """JSON in which no HTML parser finds a tag: `<`, `>` and `&`, in strings all, become escapes."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    return "\n" + (_STATIC / "style.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = [(_STATIC / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();\n"
