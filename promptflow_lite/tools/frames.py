"""Which part of a traceback is the user's? Their frames, as text and as a place in a file.

The house's own frames, those of the standard library and those of installed packages say nothing about the
user's mistake; they are left out, unless nothing else is there.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from promptflow_lite.errors import Mark

__all__ = ["guarded", "has_users", "mark_of", "message_of", "text_of"]

Result = TypeVar("Result")

_HOUSE = f"{Path(__file__).parent.parent}{os.sep}"
_SHIPPED = f"{_HOUSE}evaluation{os.sep}shipped{os.sep}"  # flows that come with the wheel are flows
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_MOST_FRAMES = 20
_MOST_CHARACTERS = 16_000


def text_of(error: BaseException) -> str:
    """The traceback of `error` and of what caused it, with the user's frames only."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    seen: set[int] = set()
    part: traceback.TracebackException | None = told
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        part.stack = traceback.StackSummary.from_list(_theirs(part.stack)[-_MOST_FRAMES:])
        part = part.__cause__ or part.__context__
    text = "".join(told.format())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\n[cut]\n"


def message_of(error: BaseException) -> str:
    """What `error` says; a user's `__str__` may fail, and a message may be as long as the data it quotes."""
    text = str(traceback.TracebackException(type(error), error, None))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} [cut]"


def has_users(error: BaseException) -> bool:
    """Whether `error` went through code of the user's."""
    return any(
        not _is_of_the_house(f.filename) and not _is_foreign(f.filename)
        for f in traceback.extract_tb(error.__traceback__)
    )


def mark_of(error: BaseException, *, default: Mark) -> Mark:
    """The innermost line of the user's code that `error` went through, or the line of a syntax error."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return Mark(error.filename, error.lineno, max(error.offset or 1, 1))
    frames = [f for f in _theirs(traceback.extract_tb(error.__traceback__)) if not _is_foreign(f.filename)]
    return Mark(frames[-1].filename, frames[-1].lineno or 1, 1) if frames else default


def guarded(call: Callable[[], Result], wrong: Callable[[BaseException, str], Exception]) -> Result:
    """What `call`, which runs user code while a flow is bound, returns.

    Args:
        call: imports a script or makes an object of the user's.
        wrong: the error to raise instead of whatever `call` raised, given it and `raised ...` for a message.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise wrong(error, f"raised {type(error).__name__}: {message_of(error)}") from error


def _theirs(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    outside = [f for f in stack if not _is_of_the_house(f.filename)]
    return [f for f in outside if not _is_foreign(f.filename)] or outside


def _is_of_the_house(filename: str) -> bool:
    return filename.startswith((_HOUSE, "<frozen ")) and not filename.startswith(_SHIPPED)


def _is_foreign(filename: str) -> bool:
    return filename.startswith(_LIBRARIES) and not filename.startswith(_SHIPPED)
