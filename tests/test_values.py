from __future__ import annotations

import datetime
import json
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptflow_lite.connections.base import Connection, Field
from promptflow_lite.prompts.chat import trust
from promptflow_lite.retrieval.document import Document
from promptflow_lite.values import clean_text, to_plain

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_ODD = st.recursive(
    st.floats()
    | st.binary(max_size=5)
    | st.text(st.characters(), max_size=4)
    | st.dates()
    | st.complex_numbers()
    | st.builds(object)
    | st.sets(st.integers() | st.text(max_size=2), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.none() | st.booleans() | st.integers() | st.text(max_size=2), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(_PLAIN)
def test_plain_values_come_back_from_json_as_they_were(value: Any) -> None:
    assert json.loads(json.dumps(to_plain(value), allow_nan=False)) == value


@given(_ODD)
def test_whatever_it_is_it_becomes_strict_json_in_utf_8_and_stays(value: Any) -> None:
    plain = to_plain(value)
    assert json.loads(json.dumps(plain, allow_nan=False, ensure_ascii=False).encode()) == plain
    assert to_plain(plain) == plain


@dataclass
class Point:
    x: int
    inner: Any = None


class Model(BaseModel):
    x: int
    when: datetime.date


class Colour(Enum):
    red = ("r", 1)


class Level(IntEnum):
    low = 1


class Word(StrEnum):
    yes = "yes"


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1, Point(2)), {"x": 1, "inner": {"x": 2, "inner": None}}),
        (Model(x=1, when=datetime.date(2024, 1, 2)), {"x": 1, "when": "2024-01-02"}),
        (Document("c", "i", 0.5, {"a": 1}), {"content": "c", "id": "i", "score": 0.5, "metadata": {"a": 1}}),
        ([Colour.red, Level.low, Word.yes], [["r", 1], 1, "yes"]),
        (Pair(1, (2,)), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: 1, None: 2, False: 3, 2.5: 4, "x": 5}, {"1": 1, "null": 2, "false": 3, "2.5": 4, "x": 5}),
        ({3, 1, 2}, [1, 2, 3]),
        (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02T03:04:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (Decimal("1.5"), 1.5),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        ([float("nan"), float("inf")], [None, None]),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3),
        (numpy.bool_(True), True),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.float64("nan"), None),
        (b"ab", "b'ab'"),
        (10**40, 10**40),
    ],
)
def test_what_a_node_may_return_is_written_down(value: Any, expected: Any) -> None:
    assert to_plain(value) == expected


def test_text_of_a_derived_type_becomes_text() -> None:
    assert type(to_plain(trust("system:\nhi\n"))) is str


def test_a_copy_is_taken() -> None:
    inner = [1]
    plain = to_plain({"a": inner})
    inner.append(2)
    assert plain == {"a": [1]}


class Secret(Connection):
    FIELDS = (Field("api_key", secret=True),)


def test_a_connection_is_written_without_its_secret() -> None:
    assert "k-123" not in json.dumps(to_plain({"c": [Secret("c", api_key="k-123")]}))


def test_what_holds_itself_and_what_is_deep_comes_to_an_end() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    json.dumps(to_plain(loop))
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    json.dumps(to_plain(deep))


def test_a_long_unknown_thing_is_cut() -> None:
    assert len(to_plain(b"x" * 10_000_000)) < 1100


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    assert clean_text("a\ud800b") == "a\ufffdb"
    assert clean_text("\ud83d\ude00") == "\U0001f600"
    assert clean_text("日本") == "日本"
