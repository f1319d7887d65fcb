"""What do the files say? Markdown, plain text, HTML, PDF and JSON Lines to texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.errors import InputError, MissingExtra

__all__ = ["SUFFIXES", "Found", "SourceFile", "Text", "find_files", "read_file"]


@dataclass(frozen=True, slots=True)
class Text:
    """What one document says."""

    content: str
    source: str
    """The file, as a path below what was asked for."""
    id: str = ""
    """The document's own name: the `id` of a row, else the source (with the page, for PDF)."""
    title: str = ""
    markdown: bool = False
    """Whether lines that start with `#` are headings."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and what to call it."""

    path: Path
    name: str


class Found(NamedTuple):
    """What sources came to."""

    files: list[SourceFile]
    complaints: list[str]
    """One for each source that is not there or holds nothing, and for each named file of an unknown kind."""


def find_files(sources: Sequence[str]) -> Found:
    """The files that `sources` name: files, folders and glob patterns; each file once.

    A folder is searched through; names that start with a dot, and kinds that cannot be read, are left out.
    """
    found: dict[Path, SourceFile] = {}
    complaints: list[str] = []
    for source in sources:
        files = list(_files_of(Path(source).expanduser()))
        if not files:
            complaints.append(_nothing_at(source))
        for file in files:
            if file.path.suffix.lower() in _READERS:
                found.setdefault(file.path.resolve(), file)
            else:
                kind = repr(file.path.suffix) if file.path.suffix else "a file without a suffix"
                complaints.append(f"{file.path}: cannot read {kind}, only {', '.join(SUFFIXES)}")
    return Found(list(found.values()), complaints)


def _files_of(source: Path) -> Iterator[SourceFile]:
    if source.is_dir():
        yield from _in_folder(source)
    elif source.is_file():
        yield SourceFile(source, source.name)
    elif has_magic(str(source)):
        root = Path(*_before_magic(source.parts))
        for path in sorted(root.glob(str(source.relative_to(root)))):
            if path.is_file() and path.suffix.lower() in _READERS:
                yield SourceFile(path, path.relative_to(root).as_posix())


def _in_folder(folder: Path) -> Iterator[SourceFile]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and path.suffix.lower() in _READERS and path.is_file():
            yield SourceFile(path, name.as_posix())


def _before_magic(parts: Sequence[str]) -> list[str]:
    plain: list[str] = []
    for part in parts:
        if has_magic(part):
            break
        plain.append(part)
    return plain


def _nothing_at(source: str) -> str:
    if has_magic(source):
        return f"{source}: no file matches"
    return (
        f"{source}: no file to read in this folder"
        if Path(source).is_dir()
        else f"{source}: no such file or folder"
    )


def read_file(file: SourceFile) -> list[Text]:
    """The documents of one file; blank ones are left out.

    Raises:
        InputError: the file cannot be read as what its name says; the message starts with the path.
        MissingExtra: a PDF, and no package to read it.
    """
    try:
        texts = _READERS[file.path.suffix.lower()](file)
    except OSError as error:
        raise InputError(f"{file.path}: {error.strerror or error}", code="bad-source") from error
    return [text for text in texts if text.content.strip()]


def _decoded(file: SourceFile) -> str:
    try:
        # Bytes, not text mode: line ends stay as they are, so that positions are those of the file.
        return file.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file.path}: not UTF-8 (byte {error.start})", code="bad-source") from error


def _read_plain(file: SourceFile) -> list[Text]:
    return [Text(_decoded(file), file.name, id=file.name, title=file.path.stem)]


_FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*\r?$", re.MULTILINE)


def _read_markdown(file: SourceFile) -> list[Text]:
    content = _decoded(file)
    heading = _FIRST_HEADING.search(content)
    title = heading.group(1) if heading else file.path.stem
    return [Text(content, file.name, id=file.name, title=title, markdown=True)]


def _read_html(file: SourceFile) -> list[Text]:
    page = _Page()
    page.feed(_decoded(file))
    page.close()
    title = " ".join("".join(page.title).split()) or file.path.stem
    return [Text(page.text(), file.name, id=file.name, title=title, markdown=True)]


_BLOCK_TAGS = """
address article aside blockquote br dd div dl dt fieldset figcaption figure footer form header hr li
main nav ol p pre section table tr ul h1 h2 h3 h4 h5 h6
"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "head"})


class _Page(HTMLParser):
    """The text that a reader of a page sees; headings as Markdown writes them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._parts: list[str] = []
        self._unseen = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._in_title = self._in_title or (tag == "title" and not self.title)
        if tag == "body":  # a page may leave out the end of its head
            self._unseen = 0
        if tag in _BLOCKS:
            self._parts.append(
                "\n\n" + "#" * int(tag[1]) + " " if tag[0] == "h" and tag[1:].isdigit() else "\n"
            )
        elif tag in ("td", "th"):
            self._parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1
        if tag == "title":
            self._in_title = False
        if tag in _BLOCKS:
            self._parts.append("\n\n" if tag in ("p", "table", "ul", "ol") or tag[0] == "h" else "\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _read_pdf(file: SourceFile) -> list[Text]:
    try:
        from pypdf import PdfReader  # noqa: PLC0415  # heavy: first use
        from pypdf.errors import PyPdfError  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("pypdf", "pdf") from error
    try:
        reader = PdfReader(file.path)
        title = (reader.metadata.title if reader.metadata else None) or file.path.stem
        pages = [page.extract_text() for page in reader.pages]
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file.path}: not a PDF that can be read: {error}", code="bad-source") from error
    return [
        Text(content, file.name, id=f"{file.name}:p{number}", title=str(title), metadata={"page": number})
        for number, content in enumerate(pages, start=1)
    ]


def _read_jsonl(file: SourceFile) -> list[Text]:
    texts: list[Text] = []
    complaints: list[str] = []
    for number, line in enumerate(_decoded(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            texts.append(_of_row(json.loads(line), file, number))
        except (ValueError, RecursionError) as error:
            complaints.append(f"{file.path}:{number}: {error}")
    if complaints:
        shown = complaints[:20] + ([f"... and {len(complaints) - 20} more"] if len(complaints) > 20 else [])
        raise InputError("\n".join(shown), code="bad-source")
    return texts


def _of_row(row: Any, file: SourceFile, number: int) -> Text:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {type(row).__name__}")
    key = "content" if "content" in row else "text"
    content = row.get(key)
    if not isinstance(content, str):
        got = "neither" if content is None else type(content).__name__
        raise ValueError(f"expected text in 'content' or 'text', got {got}")
    rest = {name: value for name, value in row.items() if name not in ("id", "title", key)}
    return Text(
        content,
        file.name,
        id=str(row["id"]) if row.get("id") is not None else f"{file.name}:{number}",
        title=str(row.get("title") or ""),
        metadata={**rest, "line": number},
    )


_READERS: dict[str, Callable[[SourceFile], list[Text]]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".txt": _read_plain,
    ".html": _read_html,
    ".htm": _read_html,
    ".pdf": _read_pdf,
    ".jsonl": _read_jsonl,
}
SUFFIXES = tuple(_READERS)
"""The file kinds that can be read."""
