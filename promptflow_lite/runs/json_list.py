"""Which records does a list of JSON hold? Of the file only the part around a record is held."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

from promptflow_lite.runs.rows import Record, reason, record_of
from promptflow_lite.runs.streams import LARGEST, encoding_hint, lines_of, open_bytes

__all__ = ["json_list"]

_SPACE = " \t\r\n"
_CHUNK = 1 << 16
_DECODER = json.JSONDecoder()


class _Text:
    """The text of a file, of which only the part around `at` is held."""

    def __init__(self, file: Path) -> None:
        self.at = 0
        self.line = 1
        """Of `at`."""
        self.text = ""
        self.ended = False
        self._lines = lines_of(file)
        self._bytes = open_bytes(file)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        next(self._lines, None)  # says whether it is UTF-16
        self._lines.close()  # type: ignore[attr-defined]  # a generator

    def more(self) -> bool:
        """Hold at least twice as much of what follows `at`; whether there was more.

        Raises:
            UnicodeDecodeError: it is no UTF-8.
        """
        if self.ended:
            return False
        self.text = self.text[self.at :]
        self.at = 0
        try:
            content = self._bytes.read(max(_CHUNK, len(self.text)))
        except (EOFError, OSError) as error:
            raise ValueError(f"cannot be read on from here: {error}") from error
        self.ended = not content
        self.text += self._decoder.decode(content, self.ended)
        return True

    def move(self, to: int) -> None:
        """Go on to the index `to`."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            at = self.at
            while at < len(self.text) and self.text[at] in _SPACE:
                at += 1
            self.move(at)
            if at < len(self.text):
                return self.text[at]
            if not self.more():
                return ""

    def value(self) -> str:
        """The text of the value that begins here; goes on behind it.

        Raises:
            json.JSONDecodeError: there is none.
        """
        while True:
            try:
                _, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self.text) - 16 or error.msg.startswith("Unterminated")
                if not cut or len(self.text) - self.at > LARGEST or not self.more():
                    raise
                continue
            if end == len(self.text) and self.more():
                continue
            value = self.text[self.at : end]
            self.move(end)
            return value

    def close(self) -> None:
        """Close the file."""
        self._bytes.__exit__(None, None, None)


def json_list(file: Path) -> Iterator[Record]:
    """The records of a JSON list, in its order; nothing follows a final complaint."""
    text = _Text(file)
    try:
        yield from _elements(text)
    except UnicodeDecodeError as error:
        yield Record(
            text.line + error.object.count(b"\n", 0, error.start), None, encoding_hint(error.object), True
        )
    except json.JSONDecodeError as error:
        yield Record(
            text.line + text.text.count("\n", text.at, error.pos), None, f"not JSON: {error.msg}", True
        )
    except (RecursionError, ValueError) as error:
        yield Record(text.line, None, reason(error), True)
    finally:
        text.close()


def _elements(text: _Text) -> Iterator[Record]:
    if text.peek() != "[":
        raise ValueError("expected a list of objects (or name the file .jsonl)")
    text.move(text.at + 1)
    if text.peek() == "]":
        text.move(text.at + 1)
    else:
        while True:
            text.peek()
            line = text.line
            yield record_of(line, text.value().encode("utf-8", "surrogatepass"))
            follows = text.peek()
            if follows not in ",]" or not follows:
                raise ValueError("not JSON: expected ',' or ']'")
            text.move(text.at + 1)
            if follows == "]":
                break
    if text.peek():
        raise ValueError("not JSON: something follows the list")
