from __future__ import annotations

import pytest

from promptflow_lite.errors import FlowError
from promptflow_lite.flow.parameters import APIS, MODEL_NAMES
from promptflow_lite.flow.scripts import Script, read_script
from promptflow_lite.tools import parameters

CORE = "from promptflow.core import tool\n"
DEF = "def f(a, b=1, *, c, d=2):\n    return a\n"


def read(text: str) -> Script:
    return read_script(text, "s.py")


@pytest.mark.parametrize(
    "head",
    [
        CORE + "@tool\n",
        CORE + "@tool()\n",
        CORE + "@tool(name='x')\nasync ",
        "from promptflow import tool as t\n@t\n",
        "from promptflow_lite import tool\n@tool\n",
        "import promptflow\n@promptflow.tool\n",
        "import promptflow.core as pc\n@pc.tool\n",
        "from promptflow import core\n@core.tool\n",
        "from promptflow.tracing import trace\n" + CORE + "@trace\n@tool\n",
    ],
)
def test_the_decorator_is_known_under_every_name(head: str) -> None:
    script = read(head + DEF)
    (found,) = script.tools
    assert script.is_certain
    assert (found.name, found.params, sorted(found.required)) == ("f", ("a", "b", "c", "d"), ["a", "c"])
    assert not found.accepts_extra


@pytest.mark.parametrize(
    "text",
    [
        "from helpers import *\n" + DEF,
        "from langchain.tools import tool\n@tool\n" + DEF,
        CORE + DEF + "g = tool(f)\n",
        CORE + "if True:\n    @tool\n    def f(): pass\nelse:\n    @tool\n    def f(): pass\n",
    ],
    ids=["star import", "a tool of another package", "called", "either or"],
)
def test_what_only_running_would_tell_is_left_open(text: str) -> None:
    assert not read(text).is_certain


def test_tools_inside_blocks_count_and_those_inside_functions_do_not() -> None:
    text = (
        CORE + "try:\n    @tool\n    def f(): pass\nexcept E:\n    pass\n\ndef g():\n"
        "    @tool\n    def h(): pass\n"
    )
    assert [tool.name for tool in read(text).tools] == ["f"]


def test_a_method_of_a_provider_takes_what_init_takes_too() -> None:
    text = (
        "from promptflow.core import ToolProvider, tool\nclass P(ToolProvider):\n"
        "    def __init__(self, key: str, url=''):\n        pass\n"
        "    @tool\n    def ask(self, q, k: int = 3):\n        pass\n"
    )
    (found,) = read(text).tools
    assert (found.name, set(found.params), set(found.required)) == (
        "P.ask",
        {"key", "url", "q", "k"},
        {"key", "q"},
    )


def test_connections_are_known_by_their_annotation() -> None:
    text = CORE + "@tool\ndef f(a: Union[OpenAIConnection, X], b: 'CustomConnection', c: str):\n    pass\n"
    assert read(text).tools[0].connections == {"a", "b"}


def test_extra_arguments_and_given_ones_are_not_asked_for() -> None:
    text = CORE + "@tool(streaming_option_parameter='stream')\ndef f(q, stream, **more):\n    pass\n"
    (found,) = read(text).tools
    assert (set(found.required), found.accepts_extra) == ({"q"}, True)
    wrapped = read("from x import retry\n" + CORE + "@retry\n@tool\ndef f(q):\n    pass\n").tools[0]
    assert (set(wrapped.required), wrapped.accepts_extra) == (set(), True)


@pytest.mark.parametrize("text", ["x = (\n", "def f(:\n", "x = '\0'\n", "(" * 5000, "  x = 1\n"])
def test_what_is_no_python_is_a_complaint(text: str) -> None:
    with pytest.raises(FlowError) as raised:
        read(text)
    assert [d.code for d in raised.value.diagnostics] == ["script-syntax"]


def test_the_names_of_parameters_are_those_that_are_sent() -> None:
    assert APIS["chat"] == {*parameters.CHAT, *MODEL_NAMES}
    assert APIS["completion"] == {*parameters.COMPLETION, *MODEL_NAMES}
    assert set(parameters.MODEL_NAMES) == MODEL_NAMES
