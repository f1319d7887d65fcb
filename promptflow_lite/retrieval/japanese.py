"""Which words does Japanese text hold? SudachiPy with its small dictionary, by the extra `ja`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from promptflow_lite.errors import MissingExtra

__all__ = ["dictionary", "surfaces", "words"]

_LONGEST = 10_000
"""Characters at a time; SudachiPy takes 49,149 bytes at most."""
_GRAMMAR = frozenset({"助詞", "助動詞", "補助記号", "記号", "空白"})
"""Particles, auxiliaries, marks and blanks: they stand in nearly every passage."""

_MARKS = frozenset({"補助記号", "記号", "空白"})

# A tokenizer of SudachiPy refuses two threads at once.
_LOCK = threading.Lock()


def dictionary() -> str:
    """The version of the dictionary: another one may cut differently.

    Raises:
        MissingExtra: SudachiPy or its dictionary is not installed.
    """
    _tokenizer()
    return version("sudachidict-small")


def words(text: str) -> list[str]:
    """The words of `text` in order, in the form of their dictionary entry, without particles and auxiliaries.

    Raises:
        MissingExtra: SudachiPy or its dictionary is not installed.
    """
    return _forms(text, without=_GRAMMAR, form=lambda morpheme: str(morpheme.normalized_form()))


def surfaces(text: str) -> list[str]:
    """The morphemes of `text` in order, as they are written, without marks and blanks.

    Raises:
        MissingExtra: SudachiPy or its dictionary is not installed.
    """
    return _forms(text, without=_MARKS, form=lambda morpheme: str(morpheme.surface()))


def _forms(text: str, *, without: frozenset[str], form: Callable[[Any], str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(text), _LONGEST):
        with _LOCK:
            morphemes = _tokenizer().tokenize(text[start : start + _LONGEST])
            found += [form(each) for each in morphemes if each.part_of_speech()[0] not in without]
    return found


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    try:
        import sudachidict_small  # noqa: F401, PLC0415  # heavy: first use
        from sudachipy import Dictionary, SplitMode  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("sudachipy", "ja") from error
    return Dictionary(dict="small").tokenizer(mode=SplitMode.C)
