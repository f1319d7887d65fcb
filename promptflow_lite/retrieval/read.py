"""What do the files say? Markdown, plain text, HTML, PDF, DOCX, CSV and JSON Lines to texts."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.errors import InputError, MissingExtra
from promptflow_lite.retrieval.page import read_page

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
    heading: tuple[str, ...] = ()
    """The headings above all of it, outermost first."""
    unit: str = ""
    """What `places` counts: `line` or `paragraph`, from 1, of the file."""
    places: Sequence[tuple[int, int]] = ()
    """Where in the content each such unit begins, and its number; in order, the first at 0."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read, and what to call it."""

    path: Path
    name: str
    text_column: str = ""
    """The column of a CSV file, or the field of JSON Lines, that is the text; empty: `content` or `text`."""


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
        MissingExtra: a PDF or DOCX, and no package to read it.
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
    content = _decoded(file)
    return [Text(content, file.name, id=file.name, title=file.path.stem, unit="line", places=_lines(content))]


def _lines(content: str) -> list[tuple[int, int]]:
    starts = [0, *(match.end() for match in re.finditer("\n", content))]
    return [(start, number) for number, start in enumerate(starts, start=1)]


_FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*\r?$", re.MULTILINE)


def _read_markdown(file: SourceFile) -> list[Text]:
    content = _decoded(file)
    heading = _FIRST_HEADING.search(content)
    title = heading.group(1) if heading else file.path.stem
    return [
        Text(
            content, file.name, id=file.name, title=title, markdown=True, unit="line", places=_lines(content)
        )
    ]


def _read_html(file: SourceFile) -> list[Text]:
    page = read_page(_decoded(file))
    title = page.title or file.path.stem
    return [
        Text(page.text, file.name, id=file.name, title=title, markdown=True, unit="line", places=page.lines)
    ]


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
        headings = _outline(reader, len(pages))
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file.path}: not a PDF that can be read: {error}", code="bad-source") from error
    return [
        Text(
            content,
            file.name,
            id=f"{file.name}:p{number}",
            title=str(title),
            heading=heading,
            metadata={"page": number},
        )
        for number, (content, heading) in enumerate(zip(pages, headings, strict=True), start=1)
    ]


def _outline(reader: Any, count: int) -> list[tuple[str, ...]]:
    """The bookmarks above each page: the first that points at it, else the last before it."""
    first: dict[int, tuple[str, ...]] = {}
    last: dict[int, tuple[str, ...]] = {}

    def walk(items: Sequence[Any], above: tuple[str, ...]) -> None:
        path = above
        for item in items:
            if isinstance(item, list):  # what stands below the bookmark before it
                walk(item, path)
                continue
            path = (*above, " ".join(str(item.title).split()))
            page = reader.get_destination_page_number(item)
            if page is not None and 0 <= page < count:
                first.setdefault(page, path)
                last[page] = path

    walk(reader.outline, ())
    found: list[tuple[str, ...]] = []
    current: tuple[str, ...] = ()
    for page in range(count):
        found.append(first.get(page, current))
        current = last.get(page, current)
    return found


_MOST_BYTES = 256 * 2**20
"""What a DOCX may unpack to."""


def _read_docx(file: SourceFile) -> list[Text]:
    try:
        import docx  # noqa: PLC0415  # heavy: first use
        from docx.opc.exceptions import OpcError  # noqa: PLC0415  # heavy: first use
        from docx.table import Table  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("python-docx", "docx") from error
    try:
        with zipfile.ZipFile(file.path) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MOST_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 20} MB")
        document = docx.Document(str(file.path))
        numbered = enumerate(document.iter_inner_content(), start=1)
        parts = [
            (_table(part) if isinstance(part, Table) else _paragraph(part.text, part.style), number)
            for number, part in numbered
        ]
        title = document.core_properties.title.strip() or file.path.stem
    except (
        OpcError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        SyntaxError,
    ) as error:  # lxml's errors are SyntaxErrors
        raise InputError(f"{file.path}: not a DOCX that can be read: {error}", code="bad-source") from error
    content, places = _joined([(block, number) for block, number in parts if block])
    return [
        Text(content, file.name, id=file.name, title=title, markdown=True, unit="paragraph", places=places)
    ]


def _joined(blocks: Sequence[tuple[str, int]]) -> tuple[str, list[tuple[int, int]]]:
    """The blocks with a blank line between them, and where each begins with its number."""
    places: list[tuple[int, int]] = []
    at = 0
    for block, number in blocks:
        places.append((at, number))
        at += len(block) + 2
    return "\n\n".join(block for block, _ in blocks), places


_HEADING_STYLE = re.compile(r"(?:(title)|heading ([1-9]))", re.IGNORECASE)


def _paragraph(text: str, style: Any) -> str:
    """A paragraph; a heading as Markdown writes it."""
    text = text.strip()
    found = _HEADING_STYLE.fullmatch((style.name or "") if style is not None else "")
    if not found or not text:
        return text
    level = 1 if found.group(1) else min(6, int(found.group(2)))
    return "#" * level + " " + " ".join(text.split())


def _table(table: Any) -> str:
    """A line for each row; a merged cell once."""
    rows = ({id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}.values() for row in table.rows)
    return "\n".join(" | ".join(cells) for cells in rows)


def _read_csv(file: SourceFile) -> list[Text]:
    reader = csv.reader(io.StringIO(_decoded(file), newline=""), strict=True)
    texts: list[Text] = []
    complaints: list[str] = []
    names: list[str] | None = None
    try:
        ended = 0
        for cells in reader:
            line, ended = ended + 1, reader.line_num
            if not cells:
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                _check_columns(names, file.text_column)
                continue
            try:
                if len(cells) != len(names):
                    raise ValueError(f"expected {len(names)} cells, got {len(cells)}")
                texts.append(_of_row(dict(zip(names, cells, strict=True)), file, line))
            except ValueError as error:
                complaints.append(f"{file.path}:{line}: {error}")
    except (csv.Error, ValueError) as error:
        complaints.append(f"{file.path}:{reader.line_num}: {error}")
    _refuse(complaints)
    return texts


def _check_columns(names: Sequence[str], text_column: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the column {twice[0]!r} is there twice")
    wanted = [text_column] if text_column else ["content", "text"]
    if not set(wanted) & set(names):
        expected = " or ".join(map(repr, wanted))
        raise ValueError(f"expected a column {expected} (--text-column), got {', '.join(map(repr, names))}")


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
    _refuse(complaints)
    return texts


def _refuse(complaints: Sequence[str]) -> None:
    if complaints:
        more = [f"... and {len(complaints) - 20} more"] if len(complaints) > 20 else []
        raise InputError("\n".join([*complaints[:20], *more]), code="bad-source")


def _of_row(row: Any, file: SourceFile, number: int) -> Text:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {type(row).__name__}")
    key = file.text_column or ("content" if "content" in row else "text")
    content = row.get(key)
    if not isinstance(content, str):
        wanted = repr(key) if file.text_column else "'content' or 'text'"
        got = "none" if content is None else type(content).__name__
        raise ValueError(f"expected text in {wanted}, got {got}")
    rest = {name: value for name, value in row.items() if name not in ("id", "title", key)}
    return Text(
        content,
        file.name,
        id=str(row["id"]) if row.get("id") not in (None, "") else f"{file.name}:{number}",
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
    ".docx": _read_docx,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
SUFFIXES = tuple(_READERS)
"""The file kinds that can be read."""
