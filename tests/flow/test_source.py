from __future__ import annotations

import datetime
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from promptflow_lite.errors import Diagnostic, FlowError
from promptflow_lite.flow.source import Document, parse_yaml, print_path, read_text, read_yaml


def refused(text: str) -> Diagnostic:
    with pytest.raises(FlowError) as raised:
        parse_yaml(text, "f.yaml")
    (complaint,) = raised.value.diagnostics
    return complaint


def place(complaint: Diagnostic) -> tuple[str, int, int]:
    assert complaint.mark is not None
    return complaint.code, complaint.mark.line, complaint.mark.column


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "a: yes\nb: on\nc: 012\nd: 0x1F\ne: 1e3\nf: 2024-01-02\ng: ~\nh:\ni: TRUE\nj: '1'\nk: 1_000\n"
    assert parse_yaml(text, "f").data == {
        "a": "yes",
        "b": "on",
        "c": 12,
        "d": 31,
        "e": 1000.0,
        "f": datetime.date(2024, 1, 2),
        "g": None,
        "h": None,
        "i": True,
        "j": "1",
        "k": 1000,
    }


def test_anchors_and_merges_are_read_and_the_own_key_wins() -> None:
    text = "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nlist:\n- *b\n"
    data = parse_yaml(text, "f").data
    assert data["own"] == {"x": 1, "y": 3}
    assert data["list"] == [{"x": 1, "y": 2}]


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n- x\r\n")
    document = read_yaml(file)
    assert document.data == {"a": 1, "b": ["x"]}
    assert (document.at("b", 0).line, document.at("a").column) == (3, 1)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_nothing_is_none(text: str) -> None:
    assert parse_yaml(text, "f").data is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", ("duplicate-key", 2, 1)),
        ("a: !!python/object:os.system x\n", ("yaml-tag", 1, 4)),
        ("a: !include other.yaml\n", ("yaml-tag", 1, 4)),
        ("a:\n\t- b\n", ("yaml-syntax", 2, 1)),
        ("a: [\n", ("yaml-syntax", 2, 1)),
        ("a: 1\n---\nb: 2\n", ("yaml-syntax", 2, 1)),
        ("a: *nowhere\n", ("yaml-syntax", 1, 4)),
        ("a: &self [*self]\n", ("yaml-syntax", 1, 11)),
        ("? [1]\n: 2\n", ("yaml-syntax", 1, 3)),
        ("a: x\x00\n", ("yaml-syntax", 1, 5)),
        ("<<: 3\n", ("yaml-syntax", 1, 1)),
        ("x: 2024-99-99\n", ("yaml-syntax", 1, 1)),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(text: str, expected: tuple[str, int, int]) -> None:
    assert place(refused(text)) == expected


def test_every_duplicate_key_of_a_file_is_told() -> None:
    with pytest.raises(FlowError) as raised:
        parse_yaml("a: 1\na: 2\nb: {c: 1, c: 2}\n", "f")
    assert [d.mark.key for d in raised.value.diagnostics if d.mark] == ["a", "b.c"]


def test_an_unquoted_reference_in_braces_gets_a_hint() -> None:
    complaint = refused("inputs: {a: ${inputs.a}}\n")
    assert place(complaint) == ("yaml-syntax", 1, 14)
    assert complaint.hint is not None
    assert '"${...}"' in complaint.hint


def test_a_nest_too_deep_is_refused_before_it_is_built() -> None:
    assert refused("a: " + "[" * 5000).code == "yaml-limit"
    assert refused("".join(f"{' ' * i}k:\n" for i in range(200))).code == "yaml-limit"


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert refused("\n".join(lines)).code == "yaml-limit"


def test_only_regular_utf_8_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    with big.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe9\n")
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for path in (big, latin, pipe, tmp_path, tmp_path / "nowhere.yaml"):
        with pytest.raises(FlowError) as raised:
            read_text(path)
        assert [d.code for d in raised.value.diagnostics] == ["unreadable-file"]


def test_a_mark_is_that_of_the_longest_known_prefix() -> None:
    document = parse_yaml("nodes:\n- name: a\n  inputs:\n    x: 1\n", "f")
    assert document.at("nodes", 0, "inputs", "x").line == 4
    assert (document.at("nodes", 0, "inputs", "y").line, document.at("nodes", 0, "inputs", "y").key) == (
        3,
        "nodes[0].inputs.y",
    )
    assert Document.empty().at("a", "b").line == 1


def test_a_moved_part_answers_under_its_new_path() -> None:
    document = parse_yaml("nodes:\n- name: a\nvariants:\n  v: {type: llm}\n", "f")
    moved = document.with_moved(("nodes", 0), ("variants", "v"))
    assert (moved.at("nodes", 0, "type").line, moved.at("nodes", 0, "type").key) == (4, "nodes[0].type")
    assert moved.at("nodes", 0, "name").line == 2


_KEYS = st.text("abcdefgh_", min_size=1, max_size=4)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab: #'\"${}é世\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _TREES, min_size=1, max_size=4))
def test_what_ruamel_writes_is_read_and_marks_point_at_the_keys(data: dict[str, Any]) -> None:
    written = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False  # in its flow style, ruamel writes {a: :b}, which it does not read
    yaml.dump(data, written)
    text = written.getvalue()
    document = parse_yaml(text, "f")
    assert document.data == data
    lines = text.split("\n")
    for path, (line, column) in document.marks.items():
        found = lines[line - 1][column - 1 :]
        if isinstance(path[-1], str):
            assert found.lstrip("'\"?").startswith(path[-1]), print_path(path)
