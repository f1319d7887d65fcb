"""How is a text cut before it is scored? Tokenizers by name, one of which looks at the script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from promptflow_lite.errors import InputError, MissingExtra, near_miss
from promptflow_lite.retrieval.japanese import surfaces
from promptflow_lite.retrieval.tokenize import IS_JAPANESE, normalize, tokens

__all__ = ["TOKENIZERS", "Tokenize", "Tokenizer", "tokenizer"]

Tokenize = Callable[[str], list[str]]
"""A text as tokens, in order; full-width and half-width forms are equal, case does not count."""

Tokenizer = Literal["auto", "mixed", "words", "characters", "japanese"]


def words(text: str) -> list[str]:
    """What stands between white space, punctuation included: for scripts with spaces."""
    return normalize(text).split()


def characters(text: str) -> list[str]:
    """Every character but white space."""
    return [character for character in normalize(text) if not character.isspace()]


def japanese(text: str) -> list[str]:
    """The words of Japanese as SudachiPy cuts them, what is not Japanese as `mixed` does.

    Raises:
        MissingExtra: SudachiPy is not installed.
    """
    found: list[str] = []
    for token in surfaces(normalize(text)):
        found += [token] if IS_JAPANESE.search(token) else tokens(token)
    return found


TOKENIZERS: dict[str, Tokenize] = {
    "mixed": tokens,
    "words": words,
    "characters": characters,
    "japanese": japanese,
}
"""By name. `mixed`: words where a script has spaces, a character each where it has none."""


def tokenizer(name: Tokenizer, texts: Sequence[str] = ()) -> tuple[str, Tokenize]:
    """The tokenizer of that name, and the name to keep with the figure.

    Args:
        name: `auto` takes the words of Japanese where a text is Japanese and SudachiPy (the extra `ja`) is
            installed, and `mixed` otherwise.
        texts: what is to be scored; `auto` looks at it.

    Raises:
        InputError: no tokenizer has that name (`unknown-tokenizer`).
        MissingExtra: it needs a package that is not installed.
    """
    if name != "auto":
        if name not in TOKENIZERS:
            raise InputError(
                f"tokenizer: expected one of {', '.join(map(repr, ('auto', *TOKENIZERS)))}, got {name!r}",
                code="unknown-tokenizer",
                hint=near_miss(name, TOKENIZERS),
            )
        return name, TOKENIZERS[name]
    if any(IS_JAPANESE.search(text) for text in texts):
        try:
            japanese("語")
        except MissingExtra:
            return "mixed", tokens
        return "japanese", japanese
    return "mixed", tokens
