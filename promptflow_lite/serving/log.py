"""What does the server write to stderr? Failures, scrubbed of secrets and of whatever drives a terminal."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable

__all__ = ["Redact", "configure", "formatter"]

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

Redact = Callable[[bytes], bytes]


def configure(level: str, redact: Redact) -> None:
    """Write the log of this process to stderr.

    Args:
        level: `error`, `warning` or `info`.
        redact: replaces secrets.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(redact))
    logger = logging.getLogger("promptflow_lite")
    logger.setLevel(level.upper())
    logger.handlers = [handler]
    logger.propagate = False


def formatter(redact: Redact) -> logging.Formatter:
    """How a record is written, by whoever writes it."""
    return _Scrubbed(redact)


class _Scrubbed(logging.Formatter):
    """Lines of a message stay below its head, so that no stranger's text looks like a message of ours."""

    def __init__(self, redact: Redact) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        text = super().format(record)
        text = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text).replace("\n", "\n    ")
        return self._redact(text.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")
