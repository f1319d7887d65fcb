"""Which data does a stranger mean? A path in the folders that the endpoint allows, or a file that is sent.

Nothing is fetched from an address. A path is resolved, links and all, and held against the allowed folders;
what is sent goes to a file as it comes, within its limit.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from promptflow_lite.serving.batch.form import FIELD_BYTES, Form, new_file, too_large
from promptflow_lite.serving.call import Call, Receive
from promptflow_lite.serving.refusal import Refusal

__all__ = ["KINDS", "is_still_inside", "length_of", "path_of", "receive_file"]

KINDS = {
    "application/jsonl": ".jsonl",
    "application/jsonlines": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
}
"""Types of a body that is the data itself."""
_MOST_FILES = 10_000
_LONGEST_URI = 4096
_SILENT_S = 30.0
"""How long a sender may send nothing."""
_LONGEST_S = 900.0
"""How long a body may take."""


def path_of(uri: Any, folders: Iterable[str], *, is_folder: bool) -> Path:
    """The file or folder that a caller names: absolute, or as it lies in one of the folders.

    Args:
        uri: a path, or `file:///path`.
        folders: those that are allowed; absolute.
        is_folder: whether a folder is meant.

    Raises:
        Refusal: 400, 403 or 404. What lies outside is not told from what is not there.
    """
    roots = [Path(folder) for folder in folders]
    if not roots:
        said = "this endpoint takes no paths; send the file itself"
        raise Refusal(403, "no-data-folders", said, param="InputData")
    text = _path_text(uri)
    found = next((p for root in roots if (p := _within(root, text)) is not None), None)
    if found is None:
        raise Refusal(404, "data-not-found", "Uri: nothing is at that path in the endpoint's data folders")
    if is_folder != found.is_dir():
        expected = "a folder" if is_folder else "a file"
        raise Refusal(404, "data-not-found", f"Uri: expected {expected}")
    _check(found, roots)
    return found


def is_still_inside(path: Path, folders: Iterable[str]) -> bool:
    """Whether what `path_of` gave a while ago still lies in the folders: others may write there."""
    try:
        _check(path, [Path(folder) for folder in folders])
    except Refusal:
        return False
    return True


def _check(path: Path, roots: list[Path]) -> None:
    for at, inside in enumerate(path.rglob("*") if path.is_dir() else [path]):
        if at > _MOST_FILES:
            raise Refusal(400, "too-many-files", f"a folder may hold {_MOST_FILES:,} files")
        _check_inside(inside, roots)


def _path_text(uri: Any) -> str:
    if not isinstance(uri, str) or not uri or len(uri) > _LONGEST_URI or "\0" in uri:
        raise Refusal(400, "wrong-input", "Uri: expected the path of a file or folder")
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise Refusal(400, "wrong-input", "Uri: expected the path of a file or folder") from None
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        text = unquote(parts.path)
        if "\0" not in text:
            return text
    elif not parts.scheme and not parts.netloc:
        return uri
    raise Refusal(400, "not-a-path", "Uri: nothing is fetched; expected a path, or file:///path")


def _within(root: Path, text: str) -> Path | None:
    """What the text names, if it is there and in the folder, wherever links lead."""
    try:
        base = root.resolve(strict=True)
        found = (base / text).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, a circle of links, a name that is none
        return None
    is_hidden = (
        any(part.startswith(".") for part in found.relative_to(base).parts) if _is_in(found, base) else True
    )
    return None if is_hidden else found


def _is_in(path: Path, base: Path) -> bool:
    return path == base or path.is_relative_to(base)


def _check_inside(path: Path, roots: Iterable[Path]) -> None:
    """Refuse what leads out of the folders, and what is neither file nor folder."""
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError):
        real, mode = path, 0
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    if not is_plain or not any(_is_in(real, root.resolve()) for root in roots):
        raise Refusal(404, "data-not-found", "Uri: something in that folder is no file, or leads out of it")


def length_of(call: Call) -> int | None:
    """How many bytes a body has, where its sender says so.

    Raises:
        Refusal: 400, it is no number.
    """
    text = call.headers.get(b"content-length", b"")
    if text and not text.isdigit():
        raise Refusal(400, "bad-length", "content-length is no number")
    return int(text[:15]) if text else None


async def receive_file(call: Call, receive: Receive, folder: Path, limit: int) -> tuple[Path, str]:
    """The file that a caller sends, kept in `folder`, and what the caller calls it.

    Args:
        call: the request; its type is one of `KINDS`, or `multipart/form-data` with one file.
        receive: the request's.
        folder: made.
        limit: bytes of the file.

    Raises:
        Refusal: 400, 408, 413 or 415.
    """
    name = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if call.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal(415, "encoded", "a body is taken as it is, without content-encoding")
    room = limit + (FIELD_BYTES if name == "multipart/form-data" else 0)
    length = length_of(call)
    if length is not None and length > room:
        raise too_large(limit)
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True)
    if name == "multipart/form-data":
        return await _receive_form(call, receive, folder, limit)
    path = folder / f"data{KINDS[name]}"
    with new_file(path) as file:
        taken = _Taken(file, limit)
        async for part in _parts(receive):
            await taken.add(part)
    if not taken.size:
        raise Refusal(400, "no-data", "the body is empty; expected the rows")
    return path, path.name


async def _receive_form(call: Call, receive: Receive, folder: Path, limit: int) -> tuple[Path, str]:
    from python_multipart.exceptions import FormParserError  # noqa: PLC0415  (first use)

    form: Form | None = None
    try:
        form = Form(call.headers.get(b"content-type", b""), folder, limit)
        async for part in _parts(receive):
            await asyncio.to_thread(form.write, part)
        return form.done()
    except FormParserError:
        raise Refusal(400, "bad-form", "the body is no multipart/form-data") from None
    finally:
        if form is not None:
            form.close()


class _Taken:
    """A file that grows up to its limit."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.size = 0
        self._file = file
        self._limit = limit

    async def add(self, part: bytes) -> None:
        """Write a part."""
        self.size += len(part)
        if self.size > self._limit:
            raise too_large(self._limit)
        await asyncio.to_thread(self._file.write, part)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _LONGEST_S
    while True:
        try:
            async with asyncio.timeout_at(min(until, loop.time() + _SILENT_S)):
                message = await receive()
        except TimeoutError:
            said = f"nothing came for {_SILENT_S:g} s, or not all of it in {_LONGEST_S:g} s"
            raise Refusal(408, "slow-body", said, headers=[(b"connection", b"close")]) from None
        if message["type"] == "http.disconnect":
            raise Refusal(400, "cut-short", "the body was cut short")
        if part := message.get("body", b""):
            yield part
        if not message.get("more_body", False):
            return
