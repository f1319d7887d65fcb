"""Rows from files: what is read, and what is refused before anything is paid for."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_lite.errors import InputError
from promptflow_lite.runs.data import digest, read


def _rows(path: Path) -> list[dict[str, Any]]:
    return [placed.row for placed in read(path).rows()]


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


@pytest.mark.parametrize("name", ["a.xlsx", "a.zip"])
def test_what_is_not_read_is_said_instead_of_guessed(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"expected \.jsonl"):
        read(_write(tmp_path, name, "PK"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"q": 1, "p": {"x": 1, "x": 2}}', "the key 'x' stands twice"),
        ("a.jsonl", '{"q": 1, "q": 123456789012345678901234567890}', "the key 'q' stands twice"),
        ("a.jsonl", '{"q": "\\u003a", "p": 1, "p": 2}', "the key 'p' stands twice"),
        ("a.json", '[{"q": 1, "q": 2}]', "the key 'q' stands twice"),
        ("a.jsonl", '{"q": ' + "[" * 300 + "]" * 300 + "}", "nested more than 250 levels"),
        ("a.jsonl", '{"q": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 250 levels"),
        ("a.jsonl", '{"q": "\\ud800"}', "a lone surrogate"),
        ("a.json", '[{"q": "\\ud800"}]', "a lone surrogate"),
        ("a.jsonl", '{"q": [1, NaN]}', "NaN is not JSON (column 11)"),
        ("a.jsonl", '{"q": -Infinity, "n": 123456789012345678901234567890}', "-Infinity is not JSON"),
        ("a.jsonl", b'{"q": "a\x00b"}', "not JSON"),
        ("a.csv", b"q,n\na\x00b,1\n", "a NUL character"),
        ("a.csv", "q,n\nhi\n", "1 cell; the header has 2"),
        ("a.jsonl", '{"q": ' + "9" * 5000 + "}", "more than 4,300 digits"),
        ("a.json", '[{"q": ' + "9" * 5000 + "}]", "more than 4,300 digits"),
        ("a.jsonl", b'{"q": "caf\xe9"}\n', "iconv -f ISO-8859-1"),
        ("a.jsonl", '{"q": "東京タワー"}'.encode("cp932"), "iconv -f CP932"),
        ("a.csv", "q\n東京\n".encode("euc_jp"), "iconv -f EUC-JP"),
        ("a.csv", "q\nx\n".encode("utf-16-le"), "seems to be UTF-16"),
        ("a.jsonl", "{}".encode("utf-32"), "UTF-32"),
    ],
)
def test_what_json_cannot_hold_or_text_cannot_be_is_named(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(_write(tmp_path, name, content))
    assert (caught.value.code, caught.value.message.count("\n")) == ("bad-data", 0)
    assert said in caught.value.message


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_compressed_file_is_the_file(tmp_path: Path, name: str, suffix: str) -> None:
    rows = [{"q": f"line {number}", "p": "two\nlines"} for number in range(5000)]
    lines = [json.dumps(row) for row in rows]
    text = {
        "a.jsonl": "\n".join(lines),
        "a.json": f"[{', '.join(lines)}]",
        "a.csv": "q,p\n" + "".join(f'{row["q"]},"{row["p"]}"\n' for row in rows),
    }[name]
    packed = _PACK[suffix](text.encode())
    assert _rows(_write(tmp_path, f"{name}.{suffix}", packed)) == rows
    with pytest.raises(InputError) as caught:
        read(_write(tmp_path, f"cut.{name}.{suffix}", packed[: len(packed) // 2]))
    assert caught.value.code == "bad-data"


_PACK: dict[str, Callable[[bytes], Any]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: pyarrow.compress(content, codec="zstd", asbytes=True),
}


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    columns = {"q": ["a", None], "n": [1, 2], "l": [["x"], []], "t": [moment, None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert _rows(tmp_path / "a.parquet") == [
        {"q": "a", "n": 1, "l": ["x"], "t": "2024-01-02T00:00:00+00:00"},
        {"q": None, "n": 2, "l": [], "t": None},
    ]
    pyarrow.parquet.write_table(pyarrow.table({"x": [1.0, float("nan")]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet:2: x: nan"):
        read(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read(_write(tmp_path, "c.parquet", "PAR1"))


def test_a_field_of_ten_megabytes_is_a_field(tmp_path: Path) -> None:
    big = "x" * 10_000_000
    for name, content in (
        ("a.jsonl", json.dumps({"q": big})),
        ("a.json", json.dumps([{"q": big}])),
        ("a.csv", f'q\n"{big}"\n'),
    ):
        assert _rows(_write(tmp_path, name, content)) == [{"q": big}]


@pytest.mark.parametrize(
    ("name", "content", "rows", "numbers"),
    [
        ("a.jsonl", '{"q": 1}\n{"q": \n{"q": NaN}\n{"q": 4}\n', [{"q": 1}, {"q": 4}], [0, 3]),
        ("a.jsonl", '{"q": 1}\n{"q": 2, "q": 3}\n{"q": 4}\n', [{"q": 1}, {"q": 4}], [0, 2]),
        ("a.json", '[{"q": 1}, 7, {"q": NaN},\n{"q": 4}]', [{"q": 1}, {"q": 4}], [0, 3]),
        ("a.csv", "q,n\n1,2\n3\n4,5\n", [{"q": "1", "n": "2"}, {"q": "4", "n": "5"}], [0, 2]),
        ("a.csv", b"q\nok\ncaf\xe9\nlast\n", [{"q": "ok"}, {"q": "last"}], [0, 2]),
        ("a.csv", 'q\nok\n"a"b\nlast\n', [{"q": "ok"}, {"q": "last"}], [0, 2]),
    ],
)
def test_bad_records_are_left_out_when_asked_and_said(
    tmp_path: Path, name: str, content: str | bytes, rows: list[Any], numbers: list[int]
) -> None:
    data = read(_write(tmp_path, name, content), skip_bad=True)
    assert [placed.row for placed in data.rows()] == rows
    assert list(data.numbers) == numbers
    assert sorted([*data.bad, *numbers]) == list(range(max(numbers) + 1))
    assert f"{len(data.bad)} bad records" in data.notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "q,q\n1,2\n"),
        ("a.csv", 'q\n1\n"never closed\n'),
        ("a.json", '[{"q": 1},\n'),
        ("a.jsonl", "{\n"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_all_the_same(
    tmp_path: Path, name: str, content: str
) -> None:
    with pytest.raises(InputError):
        read(_write(tmp_path, name, content), skip_bad=True)


def test_data_that_changed_between_check_and_run_is_not_run(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.jsonl", '{"q": 1}\n{"q": 2}\n')
    data = read(path)
    path.write_text('{"q": 1}\n{"q": 2}\n{"q": 3}\n')
    with pytest.raises(InputError) as caught:
        list(data.rows())
    assert caught.value.code == "data-changed"


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no rows"):
        read(_write(tmp_path, "a.jsonl", "\n"))


def test_a_folder_is_its_files_one_after_the_other(tmp_path: Path) -> None:
    _write(tmp_path, "b.csv", "q\n3\n")
    _write(tmp_path, "a.jsonl", '{"q": 1}\n{"q": 2}\n')
    _write(tmp_path, ".hidden.jsonl", "nothing")
    placed = list(read(tmp_path).rows())
    assert [(p.number, p.row) for p in placed] == [(0, {"q": 1}), (1, {"q": 2}), (2, {"q": "3"})]
    assert placed[2].place == f"{tmp_path / 'b.csv'}:2"


def test_a_line_number_column_numbers_the_lines(tmp_path: Path) -> None:
    placed = list(read(_write(tmp_path, "a.csv", "line_number,q\n7,a\n3,b\n")).rows())
    assert [(p.number, p.place[-2:]) for p in placed] == [(7, ":2"), (3, ":3")]


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
