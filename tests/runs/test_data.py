"""Rows from files: what is read, and what is refused before anything is paid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError
from promptflow_lite.runs.data import digest, read


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read(path).rows.values())


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"q": "hi", "n": 1}\n{"q": null}\n', [{"q": "hi", "n": 1}, {"q": None}]),
        ("a.jsonl", b'\xef\xbb\xbf{"q": 1}\r\n\r\n  \r\n{"q": 2}', [{"q": 1}, {"q": 2}]),
        ("a.data", '{"q": 1}\n', [{"q": 1}]),
        ("a.json", ' [ {"q": 1} ,\n {"q": [2]} ]\n', [{"q": 1}, {"q": [2]}]),
        ("a.csv", "q,n\nhi,1\n,\n", [{"q": "hi", "n": "1"}, {"q": "", "n": ""}]),
        (
            "a.csv",
            '\ufeffq\r\n"two\r\nlines, ""quoted"""\r\n\r\nlast',
            [{"q": 'two\r\nlines, "quoted"'}, {"q": "last"}],
        ),
        ("a.csv", "q\nx\u2028y\u0085z\n", [{"q": "x\u2028y\u0085z"}]),
        ("a.tsv", "q\tn\n京都\t1,5\n", [{"q": "京都", "n": "1,5"}]),
        ("a.jsonl", '{"big": 123456789012345678901234567890}\n', [{"big": 123456789012345678901234567890}]),
    ],
)
def test_a_file_is_read_as_it_stands(
    tmp_path: Path, name: str, content: str | bytes, expected: object
) -> None:
    assert _rows(_write(tmp_path, name, content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "complaints"),
    [
        ("a.jsonl", '{"q": 1}\n{"q": \n[1]\n\n{"q": NaN}\n"x"\n', [2, 3, 5, 6]),
        ("a.jsonl", '{"q": 1e999}\n{"big": 12345678901234567890123, "q": NaN}', [1, 2]),
        ("a.jsonl", b'{"q": "ok"}\n{"q": "caf\xe9"}\n', [2]),
        ("a.jsonl", '{"q": "\\ud800"}\n', [1]),
        ("a.json", '[{"q": 1},\n{"q": NaN}]', [2]),
        ("a.json", '[{"q": 1},\n{"q": 1e999}]', [2]),
        ("a.json", '[{"q": 1},\n\n3,\n{"q": 2}]', [3]),
        ("a.json", '[{"q": 1}\n{"q": 2}]', [2]),
        ("a.json", '[{"q": 1}]\n x', [2]),
        ("a.json", '{"q": 1}', [1]),
        ("a.json", '[{"q": 1},\n', [2]),
        ("a.csv", "q,n\n1,2\n1\n1,2,3\n", [3, 4]),
        ("a.csv", 'q,n\n"a\nb",2\n1\n', [4]),
        ("a.csv", "q,n,q\n1,2,3\n", [1]),
        ("a.csv", "q,\n1,2\n", [1]),
        ("a.csv", 'q\n"never closed\n', [2]),
        ("a.csv", b"q\ncaf\xe9\n", [2]),
        ("a.jsonl", "{}\n".encode("utf-16"), [1]),
        ("a.jsonl", '{"line_number": 1}\n{"line_number": 1}\n{"line_number": "x"}\n{"q": 1}\n', [2, 3, 4]),
    ],
)
def test_every_bad_record_is_named_with_its_physical_line(
    tmp_path: Path, name: str, content: str | bytes, complaints: list[int]
) -> None:
    path = _write(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == "bad-data"
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == [
        f"{path}:{n}" for n in complaints
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx", "a.jsonl.gz"])
def test_what_is_not_read_is_said_instead_of_guessed(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"expected \.jsonl"):
        read(_write(tmp_path, name, "PAR1"))


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no rows"):
        read(_write(tmp_path, "a.jsonl", "\n"))


def test_a_folder_is_its_files_one_after_the_other(tmp_path: Path) -> None:
    _write(tmp_path, "b.csv", "q\n3\n")
    _write(tmp_path, "a.jsonl", '{"q": 1}\n{"q": 2}\n')
    _write(tmp_path, ".hidden.jsonl", "nothing")
    table = read(tmp_path)
    assert list(table.rows.values()) == [{"q": 1}, {"q": 2}, {"q": "3"}]
    assert table.place(2) == f"{tmp_path / 'b.csv'}:2"


def test_a_line_number_column_numbers_the_lines(tmp_path: Path) -> None:
    table = read(_write(tmp_path, "a.csv", "line_number,q\n7,a\n3,b\n"))
    assert list(table.rows) == [7, 3]
    assert table.place(3).endswith(":3")


def test_the_digest_is_the_contents(tmp_path: Path) -> None:
    one, other = _write(tmp_path, "a.jsonl", "{}"), _write(tmp_path, "b.jsonl", "{}")
    assert digest(one) == digest(other)
    before = digest(tmp_path)
    other.write_text("{ }")
    assert digest(tmp_path) != before


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    rows=st.lists(
        st.dictionaries(st.text().filter(lambda k: k != "line_number"), _JSON, max_size=4), min_size=1
    )
)
def test_what_is_written_as_json_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("data")
    lines = _write(folder, "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=True) for row in rows))
    whole = _write(folder, "a.json", json.dumps(rows))
    assert _rows(lines) == rows
    assert _rows(whole) == rows
