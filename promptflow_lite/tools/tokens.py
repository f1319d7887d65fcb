"""How many tokens may a prompt have? Counted as OpenAI's models count them, or estimated.

Prompt flow: core/_prompty_utils.py `num_tokens_from_messages`, after OpenAI's cookbook, "How to count tokens
with tiktoken". Where tiktoken is not installed, or its vocabulary cannot be had, the count is an estimate
that is rather too high.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["estimate", "tokens_of"]

_A_MESSAGE = 3
_A_NAME = 1
_THE_ANSWER = 3
_AN_IMAGE = 765
"""Of 1024 by 1024 pixels, looked at closely: 85 and 170 for each of four tiles."""
_PIECE = re.compile(r"[^\W\d_]+|\d{1,3}|\n+|[^\S\n]{2,}|[^\s\w]|_")
_WORD = 7

_log = logging.getLogger("promptflow_lite")


def tokens_of(prompt: str | Sequence[Mapping[str, Any]], model: str | None) -> int:
    """The tokens of a prompt: of its messages with what stands between them, or of a text.

    Args:
        prompt: messages as the API takes them, or the text of a completion.
        model: says which vocabulary counts.
    """
    count = _counter(model or "")
    if isinstance(prompt, str):
        return count(prompt)
    total = _THE_ANSWER
    for message in prompt:
        total += _A_MESSAGE + (_A_NAME if "name" in message else 0)
        for value in message.values():
            if isinstance(value, str):
                total += count(value)
            elif isinstance(value, list):
                total += sum(_of_part(part, count) for part in value)
    return total


def estimate(text: str) -> int:
    """About how many tokens a text has: rather more than it really has.

    >>> estimate("What is the capital of France?")
    7
    """
    return sum(_of_piece(piece) for piece in _PIECE.findall(text))


def _of_piece(piece: str) -> int:
    if piece.isascii():
        return 1 + (len(piece) - 1) // _WORD if piece.isalpha() else 1
    return len(piece)


def _of_part(part: Any, count: Callable[[str], int]) -> int:
    if not isinstance(part, Mapping):
        return count(str(part))
    return _AN_IMAGE if part.get("type") == "image_url" else count(str(part.get("text", part)))


@lru_cache(maxsize=16)
def _counter(model: str) -> Callable[[str], int]:
    try:
        import tiktoken  # noqa: PLC0415  # optional, and heavy
    except ImportError:
        return estimate
    try:
        try:
            encoding = tiktoken.encoding_for_model(model)
        except KeyError:
            encoding = tiktoken.get_encoding("cl100k_base")
    except (OSError, ValueError) as error:  # its vocabulary is fetched at first use, and nobody may be there
        _log.warning("tokens are estimated: tiktoken's vocabulary cannot be had (%s)", type(error).__name__)
        return estimate
    return lambda text: len(encoding.encode(text, disallowed_special=()))
