"""How is a file taken out of a form? Part by part, as it comes, to a file of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from promptflow_lite.serving.refusal import Refusal

__all__ = ["FIELD_BYTES", "Form", "new_file", "too_large"]

FIELD_BYTES = 64 * 1024
"""What may stand in a form beside its file."""
_FIELD = b"data"
"""The field that is taken for the file where it has no file's name."""
_PLAIN = b"data.jsonl"
_SUFFIXES = (".jsonl", ".csv", ".tsv", ".json")


class Form:
    """Keeps the one file of a form; its other fields are not read.

    Args:
        kind: the request's `Content-Type`.
        folder: where the file goes.
        limit: bytes of the file.
    """

    def __init__(self, kind: bytes, folder: Path, limit: int) -> None:
        from python_multipart.multipart import (  # noqa: PLC0415  (first use)
            MultipartParser,
            parse_options_header,
        )

        self._options = parse_options_header
        boundary = parse_options_header(kind)[1].get(b"boundary")
        if not boundary:
            raise Refusal(400, "bad-form", "multipart/form-data needs a boundary")
        self._folder = folder
        self._limit = limit
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._file: IO[bytes] | None = None
        self._found: tuple[Path, str] | None = None
        self._size = self._other = 0
        self._is_file = self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_part,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def write(self, data: bytes) -> None:
        """Take a part of the body."""
        self._parser.write(data)

    def done(self) -> tuple[Path, str]:
        """The file, and its name as the sender has it."""
        if not self._is_whole:
            raise Refusal(400, "bad-form", "the body is cut short, or no multipart/form-data")
        if self._found is None or not self._size:
            raise Refusal(400, "no-data", "expected a form with a file, as curl -F data=@rows.jsonl sends it")
        return self._found

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_part(self) -> None:
        _, options = self._options(self._headers.get(b"content-disposition"))
        self._is_file = b"filename" in options or options.get(b"name") == _FIELD
        if not self._is_file:
            return
        if self._found is not None:
            raise Refusal(400, "wrong-input", "expected one file; several go into one, or into a folder")
        name = (
            options.get(b"filename", _PLAIN)
            .decode("utf-8", "replace")
            .replace("\\", "/")
            .rpartition("/")[2][:100]
        )
        suffix = Path(name).suffix.lower() or ".jsonl"
        if suffix not in _SUFFIXES:
            kinds = ", ".join(_SUFFIXES)
            raise Refusal(415, "unknown-kind", f"expected a file whose name ends in {kinds}")
        path = self._folder / f"data{suffix}"
        self._file = new_file(path)
        self._found = path, name

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file or self._file is None:
            self._other += end - start
            if self._other > FIELD_BYTES:
                raise too_large(FIELD_BYTES)
            return
        self._size += end - start
        if self._size > self._limit:
            raise too_large(self._limit)
        self._file.write(data[start:end])

    def _on_part_end(self) -> None:
        self._is_file = False

    def _on_end(self) -> None:
        self._is_whole = True


def new_file(path: Path) -> IO[bytes]:
    """A file that was not there, for its owner only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def too_large(limit: int) -> Refusal:
    """The refusal of a file."""
    return Refusal(413, "body-too-large", f"a file may have {limit:,} bytes")
