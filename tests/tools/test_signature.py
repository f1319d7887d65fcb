from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, List, Optional, Union  # noqa: UP035  as users write them

import pytest

from promptflow_lite.connections.base import Connection
from promptflow_lite.tools.signature import mode_of, of_signature, params_of
from promptflow_lite.tools.tool import Param, tool

if TYPE_CHECKING:
    from elsewhere import UnseenConnection  # type: ignore[import-not-found]


class Kind(str, Enum):  # noqa: UP042  as users write them
    a = "a"
    b = "b"


class MyConnection(Connection):
    pass


class OtherConnection(Connection):
    pass


class Secret(str):
    pass


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "int"),
        (float, "double"),
        (bool, "bool"),
        (str, "string"),
        (list, "list"),
        (list[int], "object"),
        (List[str], "object"),  # noqa: UP006
        (dict, "object"),
        (dict[str, int], "object"),
        (Any, "object"),
        (Optional[int], "int"),  # noqa: UP045
        (Union[None, float, str], "object"),  # noqa: UP007
        (int | str, "object"),
        (Annotated[int, "how many"], "int"),
        (Secret, "secret"),
        ("int", "int"),
        ("list[Unknown]", "object"),
        ("Unknown | None", "object"),
        ("Unknown", "object"),
        (object, "object"),
    ],
)
def test_an_annotation_is_a_value_type(annotation: Any, expected: str) -> None:
    def function(x: int) -> None: ...

    function.__annotations__["x"] = annotation
    assert params_of(function)["x"] == Param("x", expected)


def test_connections_go_by_the_name_of_their_class() -> None:
    def function(
        a: MyConnection,
        b: MyConnection | OtherConnection,
        c: UnseenConnection,
        d: Optional[MyConnection] = None,  # noqa: UP045
    ) -> None: ...

    params = params_of(function)
    assert params["a"].connections == ("MyConnection",)
    assert params["b"].connections == ("MyConnection", "OtherConnection")
    assert params["c"].connections == ("UnseenConnection",)
    assert (params["d"].connections, params["d"].required) == (("MyConnection",), False)


def test_an_enum_is_text_with_choices() -> None:
    def function(kind: Kind) -> None: ...

    assert params_of(function)["kind"] == Param("kind", "string", choices=("a", "b"))


def test_a_default_says_the_type_where_nothing_else_does() -> None:
    def function(a, b=1, c="x", d=None): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202

    types = {name: param.type for name, param in params_of(function).items()}
    assert types == {"a": "object", "b": "int", "c": "string", "d": "object"}


def test_extra_keywords_are_accepted_and_are_no_parameter() -> None:
    def function(a: int, *args: int, b: int = 2, **rest: Any) -> None:
        """Does it.

        At length.
        """

    made = of_signature(function)
    assert (list(made.params), made.accepts_extra, made.description) == (["a", "b"], True, "Does it.")


def test_a_builtin_that_does_not_tell_may_take_anything() -> None:
    made = of_signature(dict)
    assert (made.params, made.accepts_extra) == ({}, True)


def test_a_mark_names_the_tool() -> None:
    @tool(name="Named", description="Said")
    def function() -> None: ...

    made = of_signature(function)
    assert (made.name, made.description) == ("Named", "Said")


def test_a_class_has_the_parameters_of_its_init() -> None:
    class Provider:
        def __init__(self, key: int) -> None: ...

    class Bare:
        pass

    assert params_of(Provider) == {"key": Param("key", "int")}
    assert params_of(Bare) == {}


class AsyncCallable:
    async def __call__(self, x: int) -> int:
        return x


async def coroutine(x: int) -> int:
    return x


async def async_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (coroutine, "async"),
        (functools.partial(coroutine, x=1), "async"),
        (AsyncCallable(), "async"),
        (async_generator, "inline"),
        (generator, "thread"),
        (len, "thread"),
    ],
)
def test_how_a_function_is_called(function: Any, mode: str) -> None:
    assert mode_of(function) == mode


def test_a_callable_object_has_the_annotations_of_its_call() -> None:
    assert params_of(AsyncCallable()) == {"x": Param("x", "int")}
