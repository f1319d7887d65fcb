"""What are the lines of a data file? Plain or compressed, one at a time, never more of it in memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from promptflow_lite.errors import InputError

__all__ = ["LARGEST", "encoding_hint", "kind_of", "lines_of", "open_bytes", "unreadable"]

LARGEST = 64 * 1024 * 1024
"""Bytes of a record at most: a file without line ends shall not fill the memory."""
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_BOM = b"\xef\xbb\xbf"
_ENCODINGS = (("EUC-JP", "euc_jp"), ("CP932", "cp932"))


def kind_of(file: Path) -> str:
    """The file's suffix, what compresses it left out.

    >>> kind_of(Path("a.csv.gz")), kind_of(Path("b.JSONL")), kind_of(Path("c.gz"))
    ('.csv', '.jsonl', '')
    """
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_bytes(file: Path) -> IO[bytes]:
    """A file's bytes, decompressed while they are read.

    Raises:
        InputError: the file cannot be opened (code `data-not-found`).
    """
    try:
        match file.suffix.lower():
            case ".gz":
                return cast(IO[bytes], gzip.open(file, "rb"))
            case ".bz2":
                return cast(IO[bytes], bz2.open(file, "rb"))
            case ".xz":
                return cast(IO[bytes], lzma.open(file, "rb"))
            case ".zst":
                return _zstandard(file)
            case _:
                return file.open("rb")
    except OSError as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: Exception) -> InputError:
    """That a file cannot be read, and why."""
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(f"{file}: cannot be read: {why}", code="data-not-found")


def lines_of(file: Path) -> Iterator[tuple[int, bytes]]:
    r"""The lines of a file with their numbers, from 1 on; each ends in `\n`, or the file does.

    Raises:
        InputError: it is UTF-16 or UTF-32, its compressed data is broken, or a line is over 64 MB
            (`bad-data`); or it cannot be opened.
    """
    number = 0
    with open_bytes(file) as stream:
        while line := _next(stream, file, number):
            number += 1
            if number == 1:
                line = _first(file, line)
            yield number, line


def encoding_hint(text: bytes) -> str:
    r"""Why `text` is not UTF-8, and how to make it UTF-8.

    >>> encoding_hint(b"caf\xe9")
    'not UTF-8: byte 0xe9; if it is ISO-8859-1:  iconv -f ISO-8859-1 -t UTF-8'
    """
    try:
        text.decode()
    except UnicodeDecodeError as error:
        name = next((name for name, codec in _ENCODINGS if _decodes(text, codec)), "ISO-8859-1")
        return f"not UTF-8: byte 0x{text[error.start]:02x}; if it is {name}:  iconv -f {name} -t UTF-8"
    return ""


def _decodes(text: bytes, codec: str) -> bool:
    try:
        text.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _zstandard(file: Path) -> IO[bytes]:
    import pyarrow  # noqa: PLC0415  (heavy: first use; MLflow brings it)

    return cast(IO[bytes], _Buffered(pyarrow.input_stream(str(file), compression="zstd")))


class _Buffered:
    """A stream of pyarrow with the `readline` that it has not."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held = b""

    def __enter__(self) -> _Buffered:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        while len(self._held) < size and (more := self._stream.read(1 << 16)):
            self._held += more
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def readline(self, size: int) -> bytes:
        parts = [self._held]
        length = len(self._held)
        end = self._held.find(b"\n")
        while end < 0 and length < size and (more := self._stream.read(1 << 16)):
            at = more.find(b"\n")
            end = -1 if at < 0 else length + at
            parts.append(more)
            length += len(more)
        whole = b"".join(parts)
        cut = min(size, end + 1 if end >= 0 else length)
        self._held = whole[cut:]
        return whole[:cut]


def _next(stream: IO[bytes], file: Path, number: int) -> bytes:
    try:
        line = stream.readline(LARGEST)
    except _BROKEN as error:
        raise InputError(
            f"{file}:{number + 1}: cannot be read on from here: {error or type(error).__name__}",
            code="bad-data",
        ) from error
    if len(line) == LARGEST and not line.endswith(b"\n"):
        raise InputError(f"{file}:{number + 1}: a line of over 64 MB", code="bad-data")
    return line


def _first(file: Path, line: bytes) -> bytes:
    for mark, name in _MARKS:
        if line.startswith(mark):
            raise InputError(f"{file}:1: the file is {name}; save it as UTF-8", code="bad-data")
    if b"\x00" in line[:2] and len(line) > 1:
        raise InputError(f"{file}:1: the file seems to be UTF-16; save it as UTF-8", code="bad-data")
    return line.removeprefix(_BOM)
