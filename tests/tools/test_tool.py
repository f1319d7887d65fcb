from __future__ import annotations

import functools

import pytest

from promptflow_lite.errors import ToolError
from promptflow_lite.tools.tool import mark_of, tool


def test_a_bare_mark_leaves_the_function_as_it_is() -> None:
    def add(x: int) -> int:
        return x + 1

    assert tool(add) is add
    assert mark_of(add) is not None
    assert add(1) == 2


def test_a_mark_keeps_what_it_was_told() -> None:
    @tool(name="Add", description="Adds one", type="python", input_settings={"x": 1}, icon="i.png")
    def add(x: int) -> int:
        return x + 1

    mark = mark_of(add)
    assert mark is not None
    assert (mark.name, mark.description, mark.type) == ("Add", "Adds one", "python")
    assert (mark.input_settings, mark.extra) == ({"x": 1}, {"icon": "i.png"})


def test_a_builtin_is_wrapped() -> None:
    marked = tool(len)
    assert mark_of(marked) is not None
    assert marked([1, 2]) == 2
    assert mark_of(len) is None


def test_a_mark_shows_through_another_decorator() -> None:
    @tool
    def add(x: int) -> int:
        return x + 1

    @functools.wraps(add)
    def traced(x: int) -> int:
        return add(x)

    assert mark_of(traced) is not None


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(ToolError) as raised:
        tool(type="pyton")
    assert "'pyton'" in str(raised.value)
    assert raised.value.hint == "did you mean 'python'?"
