from __future__ import annotations

import io
import re
import sys
import zipfile
from bisect import bisect_right
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError, MissingExtra
from promptflow_lite.retrieval.read import SourceFile, Text, find_files, read_file
from promptflow_lite.retrieval.read.page import read_page

_OBJECTS = (
    b"<</Type/Catalog/Pages 2 0 R>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
    b"<</Length 45>>stream\nBT /F 12 Tf 20 200 Td (Hello from a page) Tj ET\nendstream",
    b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
)


def _pdf() -> bytes:
    """A PDF of one page."""
    text, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, body in enumerate(_OBJECTS, start=1):
        table += b"%010d 00000 n \n" % len(text)
        text += b"%d 0 obj%s endobj\n" % (number, body)
    end = b"xref\n0 6\n%strailer<</Root 1 0 R/Size 6>>\nstartxref\n%d\n%%%%EOF\n" % (table, len(text))
    return text + end


def read(path: Path, content: str | bytes) -> list[Text]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(SourceFile(path, path.name))


def test_a_folder_gives_its_readable_files_in_order_by_their_path_in_it(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/.hidden.md", ".git/c.md", "photo.png", "d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [file.name for file in find_files([str(tmp_path)]).files] == ["a/z.txt", "b.md", "d.jsonl"]


def test_a_pattern_gives_paths_below_its_fixed_part(tmp_path: Path) -> None:
    (tmp_path / "docs" / "en").mkdir(parents=True)
    (tmp_path / "docs" / "en" / "a.md").write_text("x")
    assert [file.name for file in find_files([f"{tmp_path}/docs/**/*.md"]).files] == ["en/a.md"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    assert len(find_files([str(tmp_path), str(tmp_path / "a.md")]).files) == 1


def test_each_bad_source_is_complained_about(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("x")
    (tmp_path / "empty").mkdir()
    sources = [str(tmp_path / name) for name in ("photo.png", "empty", "gone", "*.md")]
    found = find_files(sources)
    assert found.files == []
    assert [complaint.partition(":")[0] for complaint in found.complaints] == sources


def test_markdown_takes_its_title_from_the_first_heading(tmp_path: Path) -> None:
    assert read(tmp_path / "a.md", "intro\n# The Lamp #\ntext") == [
        Text(
            "intro\n# The Lamp #\ntext",
            "a.md",
            id="a.md",
            title="The Lamp",
            markdown=True,
            unit="line",
            places=[(0, 1), (6, 2), (19, 3)],
        )
    ]


def test_line_ends_stay_and_a_byte_order_mark_goes(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", "\ufeffa\r\nb")[0].content == "a\r\nb"


def test_html_is_what_a_reader_sees_with_headings(tmp_path: Path) -> None:
    page = """<html><head><title>The &amp; Lamp</title><style>p{}</style></head><body><script>x()</script>
    <h1>Lamp</h1><p>Hold   the <b>button</b>.</p><ul><li>one</li><li>two</li></ul>
    <table><tr><td>a</td><td>b</td></tr></table></body></html>"""
    (found,) = read(tmp_path / "a.html", page)
    assert found.title == "The & Lamp"
    assert [line for line in found.content.splitlines() if line] == [
        "# Lamp",
        "Hold the button.",
        "one",
        "two",
        "a b",
    ]


_WORDS = st.text("abc京 \n\t", max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["p", "h2", "b", "td", "script", "li", ""]), _WORDS), max_size=12))
def test_every_word_of_html_knows_its_line_in_the_file(parts: list[tuple[str, str]]) -> None:
    html = "".join(f"<{tag}\n>{text}</{tag}>" if tag else text for tag, text in parts)
    page = read_page(html)
    lines = html.split("\n")
    for word in re.finditer(r"[abc京]+", page.text):
        at = bisect_right(page.lines, word.start(), key=lambda place: place[0]) - 1
        assert word[0][0] in lines[page.lines[at][1] - 1]


def test_a_page_of_a_pdf_stands_under_its_bookmarks(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf", reason="needs the extra pdf")
    writer = pypdf.PdfWriter()
    for _ in range(5):
        writer.append(io.BytesIO(_pdf()))
    lamp = writer.add_outline_item(title="The  lamp", page_number=1)
    writer.add_outline_item(title="Reset", page_number=1, parent=lamp)
    writer.add_outline_item(title="お手入れ", page_number=3, parent=lamp)
    writer.write(tmp_path / "a.pdf")
    pages = read_file(SourceFile(tmp_path / "a.pdf", "a.pdf"))
    assert [page.heading for page in pages] == [
        (),
        ("The lamp",),
        ("The lamp", "Reset"),
        ("The lamp", "お手入れ"),
        ("The lamp", "お手入れ"),
    ]


def test_json_lines_keep_every_other_field_as_metadata(tmp_path: Path) -> None:
    rows = '{"id": 7, "title": "T", "content": "c", "lang": "ja"}\n\n{"text": "t"}\n'
    assert read(tmp_path / "a.jsonl", rows) == [
        Text("c", "a.jsonl", id="7", title="T", metadata={"lang": "ja", "line": 1}),
        Text("t", "a.jsonl", id="a.jsonl:3", metadata={"line": 3}),
    ]


def test_every_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.jsonl", '{"content": "c"}\n[1]\n{"content": 3}\n{\n')
    assert [line.split(":")[1] for line in caught.value.message.splitlines()] == ["2", "3", "4"]


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.txt: not UTF-8 \(byte 1\)"):
        read(tmp_path / "a.txt", b"a\xff")


def test_a_blank_file_holds_no_text(tmp_path: Path) -> None:
    assert read(tmp_path / "a.md", " \n") == []


def test_a_pdf_gives_a_text_a_page(tmp_path: Path) -> None:
    pytest.importorskip("pypdf", reason="needs the extra pdf")
    (page,) = read(tmp_path / "a.pdf", _pdf())
    assert (page.content.strip(), page.id, page.metadata) == ("Hello from a page", "a.pdf:p1", {"page": 1})


def test_a_broken_pdf_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pypdf", reason="needs the extra pdf")
    with pytest.raises(InputError, match=r"a\.pdf: not a PDF"):
        read(tmp_path / "a.pdf", b"no pdf at all")


def test_a_pdf_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtra, match=r"promptflow_lite\[pdf\]"):
        read(tmp_path / "a.pdf", _pdf())


def _docx(path: Path) -> Path:
    docx = pytest.importorskip("docx", reason="needs the extra docx")
    document = docx.Document()
    document.core_properties.title = "The manual"
    document.add_heading("Lamp", level=1)
    document.add_paragraph("Switch it on.")
    document.add_heading("Care", level=2)
    table = document.add_table(rows=2, cols=2)
    for number, text in enumerate(("part", "care", "shade", "soft\ncloth")):
        table.cell(number // 2, number % 2).text = text
    table.add_row().cells[0].merge(table.rows[2].cells[1]).text = "once"
    document.add_paragraph("布で拭きます。")
    document.save(str(path))
    return path


def test_a_docx_keeps_headings_and_tables_in_their_order(tmp_path: Path) -> None:
    path = _docx(tmp_path / "a.docx")
    (text,) = read_file(SourceFile(path, "a.docx"))
    assert (text.title, text.markdown) == ("The manual", True)
    assert text.content == (
        "# Lamp\n\nSwitch it on.\n\n## Care\n\npart | care\nshade | soft cloth\nonce\n\n布で拭きます。"
    )
    assert text.unit == "paragraph"
    assert [(text.content[at:].split()[0], number) for at, number in text.places] == [
        ("#", 1),
        ("Switch", 2),
        ("##", 3),
        ("part", 4),
        ("布で拭きます。", 5),
    ]


@pytest.mark.parametrize("content", [b"no zip at all", b"PK\x05\x06" + b"\0" * 18])
def test_a_broken_docx_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("docx", reason="needs the extra docx")
    with pytest.raises(InputError, match=r"a\.docx: not a DOCX"):
        read(tmp_path / "a.docx", content)


def test_a_docx_that_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("docx", reason="needs the extra docx")
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", bytes(300 * 2**20))
    with pytest.raises(InputError, match="256 MB"):
        read_file(SourceFile(tmp_path / "a.docx", "a.docx"))


def test_a_row_of_csv_is_a_document_and_its_line_is_where_it_starts(tmp_path: Path) -> None:
    rows = 'id,content,lang\r\n7,"two\r\nlines, a ""quote"" and \u2028",ja\r\n,next,en\r\n'
    assert read(tmp_path / "a.csv", rows) == [
        Text('two\r\nlines, a "quote" and \u2028', "a.csv", id="7", metadata={"lang": "ja", "line": 2}),
        Text("next", "a.csv", id="a.csv:4", metadata={"lang": "en", "line": 4}),
    ]


@pytest.mark.parametrize(
    ("name", "rows"), [("a.csv", "body,text\nyes,no\n"), ("a.jsonl", '{"body": "yes", "text": "no"}')]
)
def test_another_column_may_be_the_text(tmp_path: Path, name: str, rows: str) -> None:
    (tmp_path / name).write_text(rows)
    (text,) = read_file(SourceFile(tmp_path / name, name, "body"))
    assert (text.content, text.metadata["text"]) == ("yes", "no")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,b\n1,2\n", "a.csv:1: expected a column 'content' or 'text'"),
        ("text,text\n1,2\n", "a.csv:1: the column 'text' is there twice"),
        ("text,b\n1\n2,3\n4,5,6\n", "a.csv:2: expected 2 cells, got 1\n"),
        ('text\n"open\n', "a.csv:2: unexpected end of data"),
    ],
)
def test_a_csv_that_is_none_is_named_with_its_lines(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.csv", rows)
    assert said in f"{caught.value.message}\n"
