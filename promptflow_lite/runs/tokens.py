"""How many tokens is a text? tiktoken's count where it is installed, otherwise a stated approximation.

The approximation: four characters of Latin text, or two of another alphabet, or one of Chinese, Japanese or
Korean, are a token; a chat message takes four more and an answer three to begin (OpenAI's cookbook, "How to
count tokens with tiktoken").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["HOW", "counter", "of_request"]

HOW = "4 characters of Latin text, 2 of other alphabets, 1 of Chinese, Japanese or Korean a token"
_LATIN = re.compile(r"[\x00-\u024f\u2010-\u2027]")
_IDEOGRAPHS = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]")
_A_MESSAGE = 4
_AN_ANSWER = 3

Counter = Callable[[str], int]


@lru_cache(maxsize=32)
def counter(model: str) -> tuple[Counter, bool]:
    """What counts the tokens of a model, and whether it does so exactly."""
    try:
        import tiktoken  # noqa: PLC0415  # optional

        encoding = tiktoken.encoding_for_model(model)
    except Exception:  # not installed, another maker's model, or its vocabulary cannot be fetched here
        return _approximate, False
    return lambda text: len(encoding.encode(text, disallowed_special=())), True


def of_request(body: Mapping[str, Any], count: Counter) -> int:
    """The tokens of a request's prompt; images are not counted."""
    if "messages" not in body:
        return count(str(body.get("prompt") or ""))
    tokens = _AN_ANSWER
    for message in body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        tokens += _A_MESSAGE + sum(count(str(part.get("text") or "")) for part in parts)
    return tokens


def _approximate(text: str) -> int:
    if text.isascii():
        return -(-len(text) // 4)
    latin, ideographs = len(_LATIN.findall(text)), len(_IDEOGRAPHS.findall(text))
    return -(-latin // 4) + ideographs + (len(text) - latin - ideographs + 1) // 2
